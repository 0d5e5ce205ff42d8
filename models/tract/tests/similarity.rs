//! Learnt distances in tract against the packages that define them:
//! `measure/golden/real.py` wrote the golden values and the networks.
#![allow(clippy::unwrap_used)]

#[path = "../../../measure/tests/common/mod.rs"]
mod common;

use afferent_measure::DeepSimilarity;
use afferent_media::Code;
use afferent_models::Store;
use afferent_models_tract::SizedNetwork;
use std::path::Path;

const TOLERANCE: f64 = 1e-4;

/// Asserts that the network at `path` gives what the reference gives as `golden`.
fn agrees(metric: DeepSimilarity, path: &Path, golden: &str) {
    let mut network = SizedNetwork::load(path).unwrap();
    let mut cases = 0;
    for expected in common::expectations(golden) {
        let (pristine, damaged) = expected.case.pair();
        let distance = metric.distance(&mut network, pristine.view(), damaged.view()).unwrap();
        expected.case.check(golden, TOLERANCE, distance);
        assert_eq!(metric.distance(&mut network, pristine.view(), pristine.view()).unwrap(), 0.0);
        cases += 1;
    }
    assert_eq!(cases, 6);
}

fn narrow(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../measure/golden").join(name)
}

#[test]
fn lpips_of_narrow_trunks_is_the_packages() {
    agrees(DeepSimilarity::LPIPS_ALEX, &narrow("lpips-alex-narrow.onnx"), "lpips-alex-narrow");
    agrees(DeepSimilarity::LPIPS_VGG, &narrow("lpips-vgg-narrow.onnx"), "lpips-vgg-narrow");
}

/// The networks are too large to be kept: `python measure/golden/real.py DIR` writes them.
#[test]
fn lpips_of_whole_trunks_is_the_packages() {
    let Some(folder) = std::env::var_os("AFFERENT_REFERENCE_LPIPS") else {
        eprintln!("skipped: set AFFERENT_REFERENCE_LPIPS to the folder that measure/golden/real.py filled");
        return;
    };
    let file = |name| Path::new(&folder).join(name);
    agrees(DeepSimilarity::LPIPS_ALEX, &file("lpips-alex-seeded.onnx"), "lpips-alex-seeded");
    agrees(DeepSimilarity::LPIPS_VGG, &file("lpips-vgg-seeded.onnx"), "lpips-vgg-seeded");
}

/// Tests fetch nothing: the checkpoint must lie in the cache or the mirror.
#[test]
fn st_lpips_is_the_packages() {
    let store = Store::from_env().unwrap().with_python("no-python-fetches-in-tests");
    match store.resolve("st-lpips-alex") {
        Ok(model) => agrees(DeepSimilarity::ST_LPIPS_ALEX, &model.path, "st-lpips-alex"),
        Err(e) if e.code() == Code::NotFound => eprintln!("skipped: {e}"),
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn the_least_side_suffices() {
    // One pixel less the packages refuse; not every backend does.
    for (metric, file) in
        [(DeepSimilarity::LPIPS_ALEX, "lpips-alex-narrow.onnx"), (DeepSimilarity::LPIPS_VGG, "lpips-vgg-narrow.onnx")]
    {
        let side = metric.least_side as usize;
        let mut case = common::expectations("lpips-vgg-narrow").next().unwrap().case;
        case.crop = [200, 100, side, side];
        let (pristine, damaged) = case.pair();
        let mut network = SizedNetwork::load(&narrow(file)).unwrap();
        assert!(metric.distance(&mut network, pristine.view(), damaged.view()).unwrap() > 0.0, "{}", metric.id);
    }
}
