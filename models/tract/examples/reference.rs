//! Compares EfficientNet-Lite0 in tract with an independent pipeline's answers.
//!
//! `AFFERENT_DATA=DIR AFFERENT_REFERENCE=DIR cargo run --profile ci -p afferent-models-tract --example reference`
//!
//! `AFFERENT_DATA` holds `classification/SET/images/…`; `AFFERENT_REFERENCE`
//! holds `efficientnet-lite0_SET.csv` with the columns `file`, `top1` to `top5`
//! and `logit1` to `logit5`, as ONNX Runtime answers after Pillow's decoding and
//! resizing. The model comes through the store. Fails unless the first class
//! agrees on at least 99.5 % of the files. Without the two variables it says
//! that it is skipped.

use afferent_media::{Code, Error, ImageView, Network, PixelFormat, Result, Tensor};
use afferent_models::Store;
use afferent_models_tract::TractNetwork;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MODEL: &str = "efficientnet-lite0";
const SETS: [&str; 2] = ["imagenet_val227", "imagenet_sample"];
const LEAST_AGREEMENT: f64 = 0.995;

fn main() -> Result<()> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(data), Some(reference)) = (folder("AFFERENT_DATA"), folder("AFFERENT_REFERENCE")) else {
        println!("skipped: set AFFERENT_DATA and AFFERENT_REFERENCE to the folders of images and of expected answers");
        return Ok(());
    };
    let start = Instant::now();
    let model = Store::from_env()?.resolve(MODEL)?;
    println!("{MODEL} {} resolved in {:.2?}", model.sha256, start.elapsed());
    let preprocess = model.manifest.preprocess.ok_or_else(|| wrong("the zoo", "no preprocessing"))?;
    let start = Instant::now();
    let mut network = TractNetwork::load(&model.path)?;
    println!("{} loaded in {:.2?}; preprocessing {}", network.provider(), start.elapsed(), preprocess.digest());
    // The first run warms caches; it is not measured.
    network.run(&[("in", &Tensor::new(preprocess.shape(), vec![0.0; preprocess.shape().iter().product()])?)])?;

    for set in SETS {
        let table = reference.join(format!("{MODEL}_{set}.csv"));
        let images = data.join("classification").join(set);
        let (mut files, mut agree, mut right, mut worst) = (0u32, 0u32, 0u32, 0f32);
        let (mut prepare, mut infer) = (Vec::new(), Vec::new());
        for expected in expectations(&table)? {
            let (width, height, pixels) = decode(&images.join(&expected.file))?;
            let start = Instant::now();
            let image = ImageView::new(width, height, width as usize * 3, PixelFormat::Rgb8, &pixels)?;
            let input = preprocess.apply(image)?;
            prepare.push(start.elapsed());
            let start = Instant::now();
            let outputs = network.run(&[("in", &input)])?;
            infer.push(start.elapsed());
            let logits = outputs.first().map(|(_, logits)| logits.data()).unwrap_or_default();
            let top = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index);
            files += 1;
            agree += u32::from(top == Some(expected.top[0].0));
            right += u32::from(top == Some(expected.label));
            for (class, logit) in expected.top {
                let found = logits.get(class).copied().unwrap_or(f32::NAN);
                worst = worst.max(if found.is_nan() { f32::INFINITY } else { (found - logit).abs() });
            }
        }
        println!(
            "{set}: first class agrees on {agree} of {files}, greatest difference of the {} logits {worst:.5}, \
             right {right}; p50 and p95 in ms: preprocess {} {}, infer {} {}",
            files * 5,
            quantile(&mut prepare, 0.5),
            quantile(&mut prepare, 0.95),
            quantile(&mut infer, 0.5),
            quantile(&mut infer, 0.95),
        );
        if f64::from(agree) < LEAST_AGREEMENT * f64::from(files) || files == 0 {
            return Err(Error::new(Code::Model, format!("{set}: agreement below 99.5 %"), "compare the JPEG decoders"));
        }
    }
    Ok(())
}

/// One line of the reference: the five best classes with their logits.
struct Expectation {
    file: String,
    label: usize,
    top: [(usize, f32); 5],
}

fn wrong(place: impl std::fmt::Display, what: &str) -> Error {
    Error::new(Code::Config, format!("{place}: {what}"), "check the reference's files")
}

fn expectations(path: &Path) -> Result<Vec<Expectation>> {
    let failed = |e: csv::Error| wrong(path.display(), "bad record").caused_by(e);
    let mut reader = csv::Reader::from_path(path).map_err(failed)?;
    let headers = reader.headers().map_err(failed)?.clone();
    let mut expectations = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let field = |name: &str| {
            let column = headers.iter().position(|header| header == name);
            column.and_then(|column| record.get(column)).ok_or_else(|| wrong(path.display(), name))
        };
        let index = |name: &str| field(name)?.parse::<usize>().map_err(|e| wrong(path.display(), name).caused_by(e));
        let logit = |name: &str| field(name)?.parse::<f32>().map_err(|e| wrong(path.display(), name).caused_by(e));
        let mut top = [(0, 0.0); 5];
        for (rank, entry) in top.iter_mut().enumerate() {
            *entry = (index(&format!("top{}", rank + 1))?, logit(&format!("logit{}", rank + 1))?);
        }
        expectations.push(Expectation { file: field("file")?.to_owned(), label: index("label_index")?, top });
    }
    Ok(expectations)
}

/// Decodes a JPEG file to packed RGB by libjpeg-turbo, whose pixels Pillow's are.
fn decode(path: &Path) -> Result<(u32, u32, Vec<u8>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path.display().to_string(), e))?;
    let image = turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB)
        .map_err(|e| wrong(path.display(), "no JPEG file").caused_by(e))?;
    let side = |n: usize| u32::try_from(n).map_err(|e| wrong(path.display(), "too large").caused_by(e));
    Ok((side(image.width)?, side(image.height)?, image.pixels))
}

fn quantile(times: &mut [Duration], q: f64) -> String {
    times.sort_unstable();
    let index = (q * times.len() as f64) as usize;
    times.get(index).map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64() * 1e3))
}
