//! PCM and Opus: values, rates and, above all, time.

use crate::{Varied, codec, decoded, demo, encoded, settings};
use afferent_codec::{Container, ContainerWriter, Geometry, Header, Limits, Settings};
use afferent_codec_conventional::open;
use afferent_media::{Audio, AudioView, Code, Sample};

fn round_trip(id: &str, settings: &Settings, audio: &Audio) -> Audio {
    let Sample::Audio(out) = decoded(&encoded(id, settings, &Sample::Audio(audio.clone())).0) else { panic!() };
    assert_eq!((out.view().rate(), out.view().channels()), (audio.view().rate(), audio.view().channels()));
    assert_eq!(out.view().frames(), audio.view().frames());
    out
}

fn speech() -> Audio {
    open::audio(&demo("speech/ss-noservice.flac"), &Limits::default()).unwrap()
}

/// A babble of tones in the band of telephone speech, which every mode of every
/// codec carries, as loud as speech.
fn babble(rate: u32, channels: u16, frames: usize) -> Audio {
    let mut varied = Varied(7);
    let mut data = vec![0.0; frames * usize::from(channels)];
    for plane in data.chunks_exact_mut(frames.max(1)) {
        for _ in 0..30 {
            let (hertz, phase) = (400.0 + varied.below(2800) as f64, varied.below(628) as f64 / 100.0);
            let step = std::f64::consts::TAU * hertz / f64::from(rate);
            for (i, sample) in plane.iter_mut().enumerate() {
                *sample += ((i as f64).mul_add(step, phase).sin() * 0.05) as f32;
            }
        }
    }
    Audio::new(rate, channels, data).unwrap()
}

/// The shift, in samples, at which `out` resembles `source` most.
fn lag(source: &[f32], out: &[f32]) -> i64 {
    let reach = 40;
    let middle = reach..source.len() - reach;
    let likeness = |lag: i64| -> f64 {
        middle.clone().map(|i| f64::from(source[i]) * f64::from(out[(i as i64 + lag) as usize])).sum()
    };
    (-(reach as i64)..=reach as i64).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap()
}

#[test]
fn pcm_returns_16_bit_samples_exactly() {
    let all: Vec<f32> = (i16::MIN..=i16::MAX).map(|v| f32::from(v) / 32_768.0).collect();
    for (rate, channels) in [(8000, 1), (44_100, 2), (32_768, 4)] {
        let audio = Audio::new(rate, channels, all.clone()).unwrap();
        assert_eq!(round_trip("pcm", &Settings::default(), &audio), audio);
    }
    let speech = speech();
    let (_, parts) = encoded("pcm", &Settings::default(), &Sample::Audio(speech.clone()));
    assert_eq!((parts.payload.0, parts.codec().0), (speech.data().len() as u64 * 2, speech.data().len() as u64 * 2));
    assert_eq!(round_trip("pcm", &Settings::default(), &speech), speech);
}

#[test]
fn pcm_rounds_and_clips_as_stated() {
    let step = 1.0 / 32_768.0;
    let given = [0.4 * step, 0.5 * step, -0.5 * step, 1.0, 7.0, f32::INFINITY, -1.0, -7.0, f32::NEG_INFINITY, f32::NAN];
    let top = 1.0 - step;
    let expected = [0.0, step, -step, top, top, top, -1.0, -1.0, -1.0, 0.0];
    let audio = Audio::new(8000, 1, given.to_vec()).unwrap();
    assert_eq!(round_trip("pcm", &Settings::default(), &audio).data(), expected);
}

#[test]
fn opus_keeps_time_at_every_rate() {
    for rate in [8000, 12_000, 16_000, 24_000, 48_000, 11_025, 22_050, 44_100, 96_000] {
        for preset in ["audio", "voip", "lowdelay"] {
            for (channels, kilobits) in [(1, 32.0), (2, 96.0), (1, 12.0)] {
                let source = babble(rate, channels, rate as usize * 2 / 3 + 17);
                let out = round_trip("opus", &settings(preset, Some(kilobits)), &source);
                for c in 0..channels {
                    let lag = lag(source.view().channel(c), out.view().channel(c));
                    // Speech coding resamples inside libopus, by up to 50 µs off the place.
                    let allowed = if preset == "lowdelay" { 0 } else { i64::from(rate) * 55 / 1_000_000 };
                    assert!(lag.abs() <= allowed, "{lag}: {rate} Hz, {preset}, {channels} at {kilobits} kb/s");
                }
            }
        }
    }
}

#[test]
fn an_impulse_stays_where_it_was() {
    for rate in [16_000u32, 48_000] {
        for preset in ["audio", "voip", "lowdelay"] {
            for place in [0, 1, 311, 312, 961, 12_345] {
                let mut data = vec![0.0; 13_000];
                data[place] = 1.0;
                let source = Audio::new(rate, 1, data).unwrap();
                let out = round_trip("opus", &settings(preset, Some(128.0)), &source);
                let peak = (0..13_000).max_by(|a, b| out.data()[*a].abs().total_cmp(&out.data()[*b].abs())).unwrap();
                assert_eq!(peak, place, "{rate} Hz, {preset}");
            }
        }
    }
}

#[test]
fn opus_gives_back_every_length() {
    for rate in [8000, 48_000, 44_100] {
        let frame = rate as usize / 50;
        for frames in
            [0, 1, 2, frame - 1, frame, frame + 1, 50 * frame - 400, 50 * frame, 50 * frame + 1, 3 * rate as usize]
        {
            round_trip("opus", &Settings::default(), &babble(rate, 2, frames));
        }
    }
}

#[test]
fn streamed_sound_is_coded_as_in_one_call() {
    for id in ["pcm", "opus"] {
        for rate in [16_000, 44_100] {
            let source = babble(rate, 2, rate as usize * 2 + 333);
            let (whole, _) = encoded(id, &Settings::default(), &Sample::Audio(source.clone()));
            let whole = Container::parse(&whole).unwrap();
            let mut encoder = codec(id).audio_encoder(&Settings::default()).unwrap();
            for step in [1, 7, 319, 320, 321, 5000, 100_000] {
                // One encoder for all: the end of a stream leaves nothing behind.
                let mut writer = ContainerWriter::new();
                let mut at = 0;
                while at < source.view().frames() {
                    encoder.encode(source.view().slice(at, at + step), &mut writer).unwrap();
                    at += step;
                }
                encoder.finish(&mut writer).unwrap();
                let mut file = Vec::new();
                writer.seal(&whole.header, &mut file).unwrap();
                assert_eq!(Container::parse(&file).unwrap(), whole, "{id} at {rate} Hz in steps of {step}");
            }
        }
    }
}

#[test]
fn opus_meets_its_bitrate_and_keeps_speech() {
    let speech = speech();
    // What `voip` filters away counts as error, whatever the rate.
    for (preset, least) in [("audio", 100.0), ("voip", 5.0)] {
        let mut errors = Vec::new();
        for kilobits in [6.0, 16.0, 32.0] {
            let settings = settings(preset, Some(kilobits));
            let (_, parts) = encoded("opus", &settings, &Sample::Audio(speech.clone()));
            let rate = parts.codec().bits().per_second(speech.view().seconds()).0;
            assert!((0.5..1.5).contains(&(rate / f64::from(kilobits))), "{preset} {kilobits}: {rate} kb/s");
            assert!(parts.header.0 * 8 < parts.payload.0 * 3, "{parts:?}");
            let out = round_trip("opus", &settings, &speech);
            errors.push(out.data().iter().zip(speech.data()).map(|(a, b)| (a - b).powi(2)).sum::<f32>());
        }
        let energy: f32 = speech.data().iter().map(|v| v * v).sum();
        assert!(errors[2] < errors[1] && errors[1] < errors[0] && errors[2] * least < energy, "{errors:?} of {energy}");
    }
}

#[test]
fn opus_takes_any_values() {
    let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 1e-40, f32::MAX, 0.0];
    for rate in [16_000, 44_100] {
        let audio = Audio::new(rate, 1, wild.iter().copied().cycle().take(20_000).collect()).unwrap();
        let out = round_trip("opus", &Settings::default(), &audio);
        assert!(out.data().iter().all(|sample| sample.is_finite()));
    }
}

#[test]
fn what_opus_cannot_take_is_refused_and_forgotten() {
    let mut encoder = codec("opus").audio_encoder(&Settings::default()).unwrap();
    let mut writer = ContainerWriter::new();
    let three = Audio::new(16_000, 3, vec![0.0; 300]).unwrap();
    assert_eq!(encoder.encode(three.view(), &mut writer).unwrap_err().code(), Code::Unsupported);
    let odd = Audio::new(999, 1, vec![0.0; 300]).unwrap();
    assert_eq!(encoder.encode(odd.view(), &mut writer).unwrap_err().code(), Code::Unsupported);
    let grows = vec![0.0; 30_000_000];
    let grows = AudioView::new(1000, 1, &grows).unwrap();
    assert_eq!(encoder.encode(grows, &mut writer).unwrap_err().code(), Code::Limit);
    let one = babble(16_000, 1, 1000);
    encoder.encode(one.view(), &mut writer).unwrap();
    assert_eq!(encoder.encode(babble(8000, 1, 1000).view(), &mut writer).unwrap_err().code(), Code::Config);
    writer.clear();

    // After all that, a stream is coded as by a fresh encoder.
    encoder.encode(one.view(), &mut writer).unwrap();
    encoder.finish(&mut writer).unwrap();
    let (fresh, _) = encoded("opus", &Settings::default(), &Sample::Audio(one));
    let fresh = Container::parse(&fresh).unwrap();
    let mut file = Vec::new();
    writer.seal(&fresh.header, &mut file).unwrap();
    assert_eq!(Container::parse(&file).unwrap(), fresh);
}

#[test]
fn a_lost_chunk_costs_its_second_and_little_more() {
    let source = babble(16_000, 1, 16_000 * 4);
    for (id, recovers) in [("pcm", 0), ("opus", 3200)] {
        let (mut file, parts) = encoded(id, &Settings::default(), &Sample::Audio(source.clone()));
        let Sample::Audio(whole) = decoded(&file) else { panic!() };
        let second = {
            let container = Container::parse(&file).unwrap();
            parts.container.0 as usize + container.chunks[0].bytes.len() + 20
        };
        file[second] ^= 1;
        let container = Container::parse(&file).unwrap();
        assert_eq!(container.damaged, [1]);
        let Header { geometry: Geometry::Audio(_), .. } = container.header else { panic!() };
        let Sample::Audio(out) = decoded(&file) else { panic!() };
        assert_eq!(out.view().frames(), source.view().frames());
        let worst =
            |range: std::ops::Range<usize>| range.map(|i| (out.data()[i] - whole.data()[i]).abs()).fold(0.0, f32::max);
        assert_eq!(worst(0..15_000), 0.0, "{id}");
        assert!(worst(16_000..32_000) > 0.01, "{id}");
        assert!(worst(32_000 + recovers..64_000) < 0.05, "{id}: {}", worst(32_000 + recovers..64_000));
    }
}
