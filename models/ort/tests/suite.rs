//! One suite for every backend, each with its declared tolerance. A backend that
//! cannot be had here is named and passed over.
#![allow(clippy::unwrap_used)]

use afferent_media::{Code, Network, Result, Tensor};
use afferent_models::Store;
use afferent_models_ort::{Options, OrtNetwork, Provider, Runtime};
use afferent_models_tract::TractNetwork;
use std::path::PathBuf;

/// A backend under test.
struct Backend {
    name: &'static str,
    /// What its provider begins with, as rows record it.
    provider: &'static str,
    /// Greatest relative difference from the reference answers, of the output's greatest value.
    tolerance: f32,
    load: fn(&[u8]) -> Result<Box<dyn Network>>,
}

fn library() -> Option<PathBuf> {
    let named = std::env::var_os("AFFERENT_ONNXRUNTIME").map(PathBuf::from);
    named.or_else(|| match Store::from_env().and_then(|store| store.library("onnxruntime")) {
        Ok(path) => Some(path),
        Err(error) => {
            eprintln!("ONNX Runtime is passed over: {error}");
            None
        }
    })
}

fn backends() -> Vec<Backend> {
    let mut backends = vec![Backend {
        name: "tract",
        provider: "tract/cpu",
        tolerance: 1e-4,
        load: |file| Ok(Box::new(TractNetwork::read(&mut &file[..])?)),
    }];
    if library().is_some() {
        backends.push(Backend {
            name: "ort",
            provider: "ort-1.",
            tolerance: 1e-4,
            load: |file| {
                let runtime = Runtime::load(&library().unwrap())?;
                Ok(Box::new(OrtNetwork::read(&runtime, file, Options::default())?))
            },
        });
    }
    backends
}

/// A length-delimited field of a Protocol Buffers message.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// `ValueInfoProto`: `name`, a tensor of `element` type and shape ["N", 3].
fn port(name: &str, element: u8) -> Vec<u8> {
    let shape = [field(1, &field(2, b"N")), field(1, &[0x08, 3])].concat();
    let tensor = [vec![0x08, element], field(2, &shape)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// An ONNX file that applies `operator` to input `in` of `element` type and gives `out`.
fn onnx(operator: &str, element: u8) -> Vec<u8> {
    let node = [field(1, b"in"), field(2, b"out"), field(3, b"node"), field(4, operator.as_bytes())].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &port("in", element)), field(12, &port("out", element))];
    let opset = field(8, &[0x10, 13]);
    [vec![0x08, 7], field(7, &graph.concat()), opset].concat()
}

#[test]
fn the_contract_is_told_and_kept() {
    for backend in backends() {
        let mut network = (backend.load)(&onnx("Relu", 1)).unwrap();
        assert!(network.provider().starts_with(backend.provider), "{}", network.provider());
        assert_eq!(network.inputs()[0].0, "in");
        assert_eq!(network.inputs()[0].1[1], Some(3));
        let input = Tensor::new([1, 3], vec![-1.0, 0.5, 2.0]).unwrap();
        let expected = vec![("out".to_owned(), Tensor::new([1, 3], vec![0.0, 0.5, 2.0]).unwrap())];
        assert_eq!(network.run(&[("in", &input)]).unwrap(), expected, "{}", backend.name);

        let wider = Tensor::new([1, 4], vec![0.0; 4]).unwrap();
        let flat = Tensor::new([3], vec![0.0; 3]).unwrap();
        let wrong: [&[(&str, &Tensor)]; 5] = [
            &[],
            &[("in", &wider)],
            &[("in", &flat)],
            &[("in", &input), ("in", &input)],
            &[("in", &input), ("other", &input)],
        ];
        for inputs in wrong {
            assert_eq!(network.run(inputs).unwrap_err().code(), Code::Model, "{}", backend.name);
        }
        // A refused run leaves the network as it was.
        assert_eq!(network.run(&[("in", &input)]).unwrap(), expected, "{}", backend.name);
    }
}

#[test]
fn what_cannot_be_loaded_says_why() {
    for backend in backends() {
        for file in [b"no network".to_vec(), onnx("Juggle", 1), onnx("Relu", 7)] {
            let error = (backend.load)(&file).err().unwrap();
            assert_eq!(error.code(), Code::Model, "{}: {error}", backend.name);
        }
    }
}

#[test]
fn damage_does_not_panic() {
    for backend in backends() {
        let file = onnx("Relu", 1);
        for at in 0..file.len() {
            let _ = (backend.load)(&file[..at]);
            let mut flipped = file.clone();
            flipped[at] ^= 1 << (at % 8);
            let _ = (backend.load)(&flipped);
        }
    }
}

#[test]
fn backends_agree_on_a_real_network() {
    let Ok(model) = Store::from_env().and_then(|store| store.resolve("efficientnet-lite0")) else {
        return eprintln!("passed over: efficientnet-lite0 cannot be had here");
    };
    let file = std::fs::read(&model.path).unwrap();
    let values = (0..3 * 224 * 224u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0);
    let input = Tensor::new([1, 3, 224, 224], values.collect()).unwrap();
    let mut reference: Option<Vec<f32>> = None;
    for backend in backends() {
        let mut network = (backend.load)(&file).unwrap();
        let answer = network.run(&[("in", &input)]).unwrap().remove(0).1.into_data();
        let reference = reference.get_or_insert_with(|| answer.clone());
        let greatest = reference.iter().fold(0f32, |m, x| m.max(x.abs()));
        let difference = reference.iter().zip(&answer).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / greatest;
        println!("{}: {difference:e} of the greatest logit from the first backend's", network.provider());
        assert!(difference <= backend.tolerance, "{}: {difference}", backend.name);
    }
}

#[test]
fn a_provider_that_cannot_be_had_is_an_error() {
    let Some(library) = library() else { return };
    let runtime = Runtime::load(&library).unwrap();
    let options = Options { provider: Provider::CoreMl, ..Options::default() };
    let error = OrtNetwork::read(&runtime, onnx("Relu", 1), options).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported, "{error}");
    assert!(error.what().contains("coreml"), "{error}");
    assert_eq!("gpu".parse::<Provider>().unwrap_err().code(), Code::Config);
    let network = OrtNetwork::read(&runtime, onnx("Relu", 1), Options::default()).unwrap();
    assert_eq!(network.provider(), format!("ort-{}/cpu", runtime.version()));
    assert_eq!(network.another().unwrap().provider(), network.provider());
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    if library().is_some_and(|library| Runtime::load(&library).is_ok()) {
        // One library per process: what is loaded stays.
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(Runtime::load(file.path()).unwrap_err().code(), Code::Unsupported);
    assert_eq!(Runtime::load("absent.so".as_ref()).unwrap_err().code(), Code::NotFound);
}
