use afferent_codec::{Limits, Settings, ContainerWriter, Registry};
use std::time::Instant;
fn main() {
    let f = std::env::args().nth(1).unwrap();
    let image = afferent_codec_conventional::open::image(std::path::Path::new(&f), &Limits::default()).unwrap().into_rgb();
    let mut registry = Registry::new();
    afferent_codec_default::register(&mut registry);
    let px = f64::from(image.width() * image.height());
    for q in [20, 30, 47, 60] {
        let mut e = registry.get("optic").unwrap().image_encoder(&Settings { knob: Some(q as f32), ..Default::default() }).unwrap();
        let mut w = ContainerWriter::new();
        let mut best = f64::MAX;
        for _ in 0..30 { w.clear(); let t = Instant::now(); e.encode(image.view(), &mut w).unwrap(); best = best.min(t.elapsed().as_secs_f64()); }
        let mut a = f64::MAX;
        for _ in 0..10 { let t = Instant::now(); afferent_codec_default::fit::strips(image.view(), q); a = a.min(t.elapsed().as_secs_f64()); }
        println!("q{q} {:.1} MPx/s, {:.1} ns/px; analysis {:.1} ns/px", px / best / 1e6, best * 1e9 / px, a * 1e9 / px);
    }
}
