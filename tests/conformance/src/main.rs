//! `conformance`: codes, decodes what other builds coded, and says what was equal.

use afferent_codec::{SampleEncoder, Settings};
use afferent_conformance::{check, encode, matrix, point, vectors};
use afferent_media::{Code, Error, Result, Sample};
use clap::{Args, Parser, Subcommand};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "conformance", about = "Whether bitstreams mean the same on every processor and in every build")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Code the vectors with this build
    Encode(EncodeArgs),
    /// Decode with this build what another coded, and compare
    Check(CheckArgs),
    /// Print the matrix of the files that `check` wrote
    Matrix(MatrixArgs),
    /// Encode one picture again and again, for whoever counts instructions
    Spin(SpinArgs),
}

#[derive(Args)]
struct EncodeArgs {
    /// What this build is called
    #[arg(long)]
    name: String,
    /// Folder to write bitstreams and records to
    #[arg(long)]
    out: PathBuf,
    /// Folder of decoded values, shared by all builds
    #[arg(long)]
    decoded: PathBuf,
    /// The folder `data/demo`, to code some of its pictures and recordings too
    #[arg(long)]
    bundled: Option<PathBuf>,
    /// Jobs at once; the records do not depend on it
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Args)]
struct CheckArgs {
    /// What another build's `encode` wrote
    theirs: PathBuf,
    /// What this build's `encode` wrote
    ours: PathBuf,
    /// Folder of decoded values, shared by all builds
    #[arg(long)]
    decoded: PathBuf,
    /// File to write the outcome to
    #[arg(long)]
    out: PathBuf,
    /// Jobs at once
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Args)]
struct MatrixArgs {
    /// Files that `check` wrote
    #[arg(required = true)]
    checks: Vec<PathBuf>,
    /// Also write all of them as one JSON file
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct SpinArgs {
    /// Codec id
    #[arg(long)]
    codec: String,
    /// Preset; the codec's default if left out
    #[arg(long)]
    preset: Option<String>,
    /// Knob; the codec's default if left out
    #[arg(long)]
    knob: Option<f32>,
    /// Vector
    #[arg(long, default_value = "scene-768x512")]
    vector: String,
    /// The folder `data/demo`, for one of its pictures
    #[arg(long)]
    bundled: Option<PathBuf>,
    /// How often
    #[arg(long)]
    count: usize,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Encode(args) => encode(&args),
        Command::Check(args) => check(&args),
        Command::Matrix(args) => matrix(&args),
        Command::Spin(args) => spin(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn encode(args: &EncodeArgs) -> Result<ExitCode> {
    let vectors = vectors::all(args.bundled.as_deref())?;
    let records = encode::run(&point::registry(), &vectors, &args.name, &args.out, &args.decoded, args.threads)?;
    println!("{}: {} bitstreams of {} vectors", args.name, records.len(), vectors.len());
    Ok(ExitCode::SUCCESS)
}

fn check(args: &CheckArgs) -> Result<ExitCode> {
    let found = check::run(&point::registry(), &args.theirs, &args.ours, &args.decoded, args.threads)?;
    write(&args.out, &found)?;
    Ok(ExitCode::SUCCESS)
}

fn matrix(args: &MatrixArgs) -> Result<ExitCode> {
    let mut checks = Vec::new();
    for path in &args.checks {
        let text = fs::read(path).map_err(|cause| Error::io(format!("{} cannot be read", path.display()), cause))?;
        checks.push(serde_json::from_slice(&text).map_err(|cause| {
            let what = format!("{} was not written by `check`", path.display());
            Error::new(Code::Corrupt, what, "run `conformance check` again").caused_by(cause)
        })?);
    }
    let matrix = matrix::Matrix::new(checks);
    print!("{}", matrix.text());
    if let Some(path) = &args.json {
        write(path, &matrix.checks())?;
    }
    Ok(if matrix.held() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(path: &std::path::Path, value: &impl serde::Serialize) -> Result<()> {
    let failed = |cause| Error::io(format!("{} cannot be written", path.display()), cause);
    let text = serde_json::to_string_pretty(value).map_err(|cause| failed(cause.into()))?;
    fs::write(path, text + "\n").map_err(failed)
}

fn spin(args: &SpinArgs) -> Result<ExitCode> {
    let settings = Settings { preset: args.preset.clone(), knob: args.knob, ..Settings::default() };
    let mut encoder = SampleEncoder::new(point::registry().get(&args.codec)?.as_ref(), &settings)?;
    let vectors = vectors::all(args.bundled.as_deref())?;
    let Some(vector) = vectors.into_iter().find(|vector| vector.name == args.vector) else {
        return Err(Error::new(Code::NotFound, format!("there is no vector `{}`", args.vector), "choose another"));
    };
    let mut stream = Vec::new();
    for _ in 0..args.count {
        stream.clear();
        encoder.encode(&vector.sample, &mut stream)?;
    }
    let units = match &vector.sample {
        Sample::Image(image) => image.view().pixels().0,
        Sample::Audio(audio) => audio.view().samples().0,
    };
    println!("{units} {}", stream.len());
    Ok(ExitCode::SUCCESS)
}
