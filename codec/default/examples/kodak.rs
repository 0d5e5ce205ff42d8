//! dev: bpp, psnr
use afferent_codec::{Limits, Settings, Container, SampleEncoder, SampleDecoder, Registry};
use afferent_codec_default::fit;
use afferent_media::Sample;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<_> = std::fs::read_dir(std::env::args().nth(1).unwrap())?.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "png")).collect();
    files.sort();
    let step: usize = std::env::args().nth(2).map_or(3, |s| s.parse().unwrap());
    let mut curve = Vec::new();
    for q in [12u8, 18, 24, 30, 36, 42, 48] {
        let (mut r, mut p, mut ad, mut st, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for f in files.iter().step_by(step) {
            let Sample::Image(image) = afferent_codec_conventional::open::sample(f, &Limits::default())? else { continue };
            let px = f64::from(image.width()) * f64::from(image.height());
            for s in fit::strips(image.view(), q) { let (a, b) = fit::cost(&s); ad += a / px; st += b / px; }
            let mut registry = Registry::new();
            afferent_codec_default::register(&mut registry);
            let mut out = Vec::new();
            let parts = SampleEncoder::new(registry.get("optic")?.as_ref(), &Settings { knob: Some(q.into()), ..Default::default() })?.encode(&Sample::Image(image.clone()), &mut out)?;
            let Sample::Image(back) = SampleDecoder::new(registry, Limits::default()).decode(&Container::parse(&out)?)? else { continue };
            let mse: f64 = image.data().iter().zip(back.data()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>() / image.data().len() as f64;
            r += (parts.codec().0 * 8) as f64 / px; p += 10.0 * (65025.0 / mse).log10(); n += 1.0;
        }
        if std::env::var_os("BREAK").is_some() {
            let mut strips = Vec::new(); let mut px = 0.0;
            for f in files.iter().step_by(step) { let Sample::Image(image) = afferent_codec_conventional::open::sample(f, &Limits::default())? else { continue }; px += f64::from(image.width()) * f64::from(image.height()); strips.extend(fit::strips(image.view(), q)); }
            fit::breakdown(&strips, px);
        }
        curve.push((p / n, (r / n).ln()));
        if std::env::var_os("QUIET").is_none() { println!("q{q}: {:.4} bpp {:.3} dB; adaptive {:.4} still {:.4}", r / n, p / n, ad / n, st / n); }
    }
    for db in [24.5, 25.5, 26.5, 27.5, 28.5] {
        let w = curve.windows(2).find(|w| w[0].0 <= db && db < w[1].0).unwrap();
        print!("{db}: {:.4}  ", (w[0].1 + (w[1].1 - w[0].1) * (db - w[0].0) / (w[1].0 - w[0].0)).exp());
    }
    println!();
    Ok(())
}
