//! The backend with a network of one operator, written by hand.
#![allow(clippy::unwrap_used)]

use afferent_media::{Code, Network, Tensor};
use afferent_models_tract::{SizedNetwork, TractNetwork};

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

/// An ONNX file that applies `operator` to input `in` and gives `out`.
fn onnx(operator: &str, element: u8) -> Vec<u8> {
    let node = [field(1, b"in"), field(2, b"out"), field(3, b"node"), field(4, operator.as_bytes())].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &port("in", element)), field(12, &port("out", element))];
    [vec![0x08, 7], field(7, &graph.concat()), field(8, &[0x10, 13])].concat()
}

fn load(file: &[u8]) -> afferent_media::Result<TractNetwork> {
    TractNetwork::read(&mut &file[..])
}

#[test]
fn the_contract_is_told_and_kept() {
    let mut network = load(&onnx("Relu", 1)).unwrap();
    assert_eq!(network.provider(), "tract/cpu");
    // The open axis is closed at one sample.
    assert_eq!(network.inputs(), [("in".to_owned(), vec![Some(1), Some(3)])]);
    assert_eq!(network.outputs(), ["out"]);
    let input = Tensor::new([1, 3], vec![-1.0, 0.5, 2.0]).unwrap();
    let expected = vec![("out".to_owned(), Tensor::new([1, 3], vec![0.0, 0.5, 2.0]).unwrap())];
    assert_eq!(network.run(&[("in", &input)]).unwrap(), expected);

    let longer = Tensor::new([2, 3], vec![0.0; 6]).unwrap();
    let wrong: [&[(&str, &Tensor)]; 4] =
        [&[], &[("in", &longer)], &[("in", &input), ("in", &input)], &[("in", &input), ("other", &input)]];
    for inputs in wrong {
        assert_eq!(network.run(inputs).unwrap_err().code(), Code::Model);
    }
    // A refused run leaves the network as it was.
    assert_eq!(network.run(&[("in", &input)]).unwrap(), expected);
}

#[test]
fn open_axes_are_as_long_as_the_tensors() {
    let mut network = SizedNetwork::read(&mut &onnx("Relu", 1)[..]).unwrap();
    assert_eq!(network.inputs(), [("in".to_owned(), vec![None, Some(3)])]);
    // More shapes than are kept, each twice.
    for rows in (1..=SizedNetwork::KEPT + 2).chain(1..=SizedNetwork::KEPT + 2) {
        let input = Tensor::new([rows, 3], [-1.0, 0.5, 2.0].repeat(rows)).unwrap();
        let output = network.run(&[("in", &input)]).unwrap().remove(0).1;
        assert_eq!((output.shape(), output.data()), (&[rows, 3][..], &[0.0, 0.5, 2.0].repeat(rows)[..]));
    }
    let input = |shape: &[usize]| Tensor::new(shape, vec![1.0; shape.iter().product()]).unwrap();
    let (good, wide, deep, empty) = (input(&[2, 3]), input(&[2, 4]), input(&[1, 2, 3]), input(&[0, 3]));
    let wrong: [&[(&str, &Tensor)]; 6] = [
        &[],
        &[("in", &wide)],
        &[("in", &deep)],
        &[("in", &empty)],
        &[("in", &good), ("in", &good)],
        &[("in", &good), ("other", &good)],
    ];
    for inputs in wrong {
        assert_eq!(network.run(inputs).unwrap_err().code(), Code::Model);
    }
    assert!(network.run(&[("in", &good)]).is_ok());
}

#[test]
fn clones_run_side_by_side() {
    let network = load(&onnx("Relu", 1)).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4u8 {
            let mut network = network.clone();
            scope.spawn(move || {
                for step in 0..50 {
                    let value = f32::from(worker) * 100.0 + step as f32;
                    let input = Tensor::new([1, 3], vec![-value, value, 0.0]).unwrap();
                    let output = network.run(&[("in", &input)]).unwrap().remove(0).1;
                    assert_eq!(output.data(), [0.0, value, 0.0]);
                }
            });
        }
    });
}

#[test]
fn what_cannot_be_loaded_says_why() {
    assert_eq!(load(b"no network").unwrap_err().code(), Code::Model);
    assert_eq!(load(&onnx("Juggle", 1)).unwrap_err().code(), Code::Model);
    // 64-bit integers.
    let error = load(&onnx("Relu", 7)).unwrap_err();
    assert!(error.what().contains("`in`"), "{error}");
    assert_eq!(TractNetwork::load("absent.onnx".as_ref()).unwrap_err().code(), Code::NotFound);
}

#[test]
fn damage_does_not_panic() {
    let file = onnx("Relu", 1);
    for at in 0..file.len() {
        let _ = load(&file[..at]);
        for bit in 0..8 {
            let mut file = file.clone();
            file[at] ^= 1 << bit;
            let _ = load(&file);
            let input = Tensor::new([2, 3], vec![1.0; 6]).unwrap();
            let _ = SizedNetwork::read(&mut &file[..]).and_then(|mut network| network.run(&[("in", &input)]));
        }
    }
}
