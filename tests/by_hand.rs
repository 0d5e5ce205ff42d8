//! The commands that people try first, on one file.

use crate::process::{Site, afferent, agent_binary, pictures, run};
use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_media::{Image, PixelFormat, Sample};
use std::process::Command;

#[test]
fn a_picture_goes_there_and_back() {
    let site = Site::new();
    let media = site.path("media");
    pictures(&media, 1);
    let (input, coded, back) = (media.join("0000.png"), site.path("x.afr"), site.path("x.png"));
    let (ok, out, err) = run(Command::new(afferent()).args(["encode", "-c", "png", "-o"]).arg(&coded).arg(&input));
    assert!(ok, "{err}");
    assert!(out.contains("= storage"), "{out}");
    let (ok, _, err) = run(Command::new(afferent()).args(["decode", "-o"]).arg(&back).arg(&coded));
    assert!(ok, "{err}");
    let pixels = |path| open::image(path, &Limits::default()).unwrap();
    assert_eq!(pixels(&input), pixels(&back));
    // The ledger that `inspect` prints is the file's size.
    let (ok, out, err) = run(Command::new(afferent()).arg("inspect").arg(&coded));
    assert!(ok, "{err}");
    let size = std::fs::metadata(&coded).unwrap().len().to_string();
    let storage = out.lines().find(|line| line.contains("= storage")).unwrap();
    assert!(storage.split_whitespace().any(|word| word == size), "{storage} is not {size} bytes");
}

#[test]
fn one_file_is_decoded_by_several_syntheses() {
    let site = Site::new();
    pictures(&site.path("media"), 1);
    let coded = site.path("x.afr");
    let (ok, out, err) = run(Command::new(afferent())
        .args(["encode", "-c", "optic", "-k", "40", "-o"])
        .arg(&coded)
        .arg(site.path("media").join("0000.png")));
    assert!(ok, "{err}");
    assert!(out.contains("= storage"), "{out}");
    let decode = |flavour: &str| {
        let back = site.path(&format!("{flavour}.png"));
        let (ok, out, err) = run(Command::new(afferent())
            .args(["decode", "--require", "tract/cpu", "--synthesis", flavour, "-o"])
            .arg(&back)
            .arg(&coded));
        ok.then(|| (open::image(&back, &Limits::default()).unwrap(), out)).ok_or(err)
    };
    let (linear, said) = decode("linear").unwrap();
    assert!(said.contains("decoded optic/linear"), "{said}");
    let (faithful, _) = decode("faithful").unwrap();
    assert_ne!(linear, faithful);
    let error = decode("cubist").unwrap_err();
    assert!(error.contains("AFF-NOT-FOUND") && error.contains("generative"), "{error}");
    let (ok, out, err) = run(Command::new(afferent()).args(["models", "optic-faithful"]));
    assert!(ok && out.contains("sha256"), "{err}");
}

#[test]
fn a_cut_file_is_decoded_as_far_as_it_goes() {
    let site = Site::new();
    // Large enough for a chunk per layer.
    let noise = (0..640_u32 * 400 * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 25) as u8).collect();
    let picture = Image::new(640, 400, PixelFormat::Rgb8, noise).unwrap();
    let input = site.path("noise.png");
    open::write(&Sample::Image(picture), &input).unwrap();
    for (codec, decodes) in [("optic", true), ("jpeg", false)] {
        let (coded, back) = (site.path(&format!("{codec}.afr")), site.path(&format!("{codec}.png")));
        let (ok, _, err) =
            run(Command::new(afferent()).args(["encode", "-k", "60", "-c", codec, "-o"]).arg(&coded).arg(&input));
        assert!(ok, "{err}");
        let bytes = std::fs::read(&coded).unwrap();
        std::fs::write(&coded, &bytes[..bytes.len() - 1]).unwrap();
        let (ok, _, err) =
            run(Command::new(afferent()).args(["decode", "--synthesis", "linear", "-o"]).arg(&back).arg(&coded));
        assert_eq!((ok, back.is_file()), (decodes, decodes), "{err}");
        let said = if decodes { "WARNING: decoded in part: 1 of 3 chunks" } else { "AFF-CORRUPT" };
        assert!(err.contains(said), "{err}");
        std::fs::write(&coded, &bytes[..100]).unwrap();
        let (ok, ..) =
            run(Command::new(afferent()).args(["decode", "--synthesis", "linear", "-o"]).arg(&back).arg(&coded));
        assert!(!ok, "nothing is left to decode");
    }
}

#[test]
fn mistakes_end_with_code_cause_and_remedy() {
    let site = Site::new();
    pictures(&site.path("media"), 1);
    let picture = site.path("media").join("0000.png");
    let out = site.path("out.afr");
    let text = site.path("text.png");
    std::fs::write(&text, "no picture").unwrap();
    let encode = |args: &[&str], input: &std::path::Path| {
        run(Command::new(afferent()).arg("encode").args(args).arg("-o").arg(&out).arg(input))
    };
    for (args, input, code, named) in [
        (&["-c", "jpg"][..], &picture, "AFF-NOT-FOUND", "jpeg"),
        (&["-c", "jpeg", "-k", "101"], &picture, "AFF-CONFIG", "quality"),
        (&["-c", "jpeg", "-p", "411"], &picture, "AFF-CONFIG", "420"),
        (&["-c", "png", "-k", "5"], &picture, "AFF-CONFIG", "no knob"),
        (&["-c", "opus"], &picture, "AFF-UNSUPPORTED", "0000.png"),
        (&["-c", "jpeg"], &text, "AFF-", "text.png"),
        (&["-c", "jpeg"], &site.path("nothing.png"), "AFF-NOT-FOUND", "nothing.png"),
    ] {
        let (ok, _, err) = encode(args, input);
        assert!(!ok && err.contains(code) && err.contains(named) && err.contains("to do:"), "{args:?}: {err}");
    }
    let (ok, _, err) = run(Command::new(afferent()).arg("inspect").arg(&picture));
    assert!(!ok && err.contains("AFF-CORRUPT") && err.contains("0000.png"), "{err}");
    let (ok, _, err) = run(Command::new(agent_binary()).args(["run", "--set", "encode.thread=1"]));
    assert!(!ok && err.contains("AFF-CONFIG") && err.contains("thread"), "{err}");
    let (ok, _, err) = run(Command::new(agent_binary()).args(["run", "--set", "encode.gstreamer=[\"h265\"]"]));
    assert!(
        !ok && err.contains("AFF-CONFIG") && err.contains("encode.gstreamer") && err.contains("nvjpegenc"),
        "{err}"
    );
}

#[test]
fn codecs_are_listed_for_people_and_machines() {
    let (ok, out, _) = run(Command::new(afferent()).args(["codecs", "--json"]));
    assert!(ok);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|codec| codec["id"].as_str().unwrap()).collect();
    for id in ["avif", "h264", "jpeg", "opus", "optic", "pcm", "png", "webp"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    let (_, table, _) = run(Command::new(afferent()).arg("codecs"));
    assert!(table.contains("libjpeg-turbo"), "{table}");
    assert_eq!(table.contains("WARNING"), cfg!(not(feature = "simd")), "{table}");
}
