//! The report in a real browser: Chromium, driven over the DevTools protocol.

use crate::process::{afferent, run};
use afferent_measure::{Row, read_rows, write_rows};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long any one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser's binary: `AFFERENT_CHROMIUM`, or what the path has.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("AFFERENT_CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    named.into_iter().chain(found).find(|binary| binary.is_file())
}

/// A browser with one page.
struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    next: u64,
    /// What the page did, since it was last asked.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start(binary: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // Chromium reads commands from descriptor 3 and answers on 4, each ended by
        // a zero byte; the shell hands it our two pipes under those numbers.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#])
            .arg(binary)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, messages) = channel();
        let answers = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let commands = child.stdin.take().unwrap();
        let mut browser =
            Self { child, commands, messages, session: None, next: 0, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut command = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == self.next {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Goes to a file and waits until it is loaded.
    fn open(&mut self, page: &Path) {
        self.call("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.messages.recv_timeout(PATIENCE).unwrap();
            self.events.push(message);
        }
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
    }

    /// The value of a JavaScript expression on the page.
    fn ask(&mut self, expression: &str) -> Value {
        let question = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", question);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Enter" => ("Enter", 13, "\r"),
            " " => ("Space", 32, " "),
            "Tab" => ("Tab", 9, ""),
            "ArrowRight" => ("ArrowRight", 39, ""),
            other => panic!("no key {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({
                "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text,
            });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    fn screen(&mut self, width: u32, height: u32, mobile: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    fn scheme(&mut self, scheme: &str) {
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", feature);
    }

    /// Keeps a picture of the page's upper part.
    fn picture(&mut self, path: &Path) {
        let width = self.ask("innerWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": 6000, "scale": 1 });
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip }));
        std::fs::write(path, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// What went wrong on the page, and what it asked of the world.
    fn complaints(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        let wrong = events.iter().filter(|event| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => true,
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                !url.starts_with("file://") && !url.starts_with("data:")
            }
            _ => false,
        });
        wrong.map(Value::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The demo's rows, and the same again as if coded by other presets, at another
/// size and on another data set, so that every kind of chart is there.
fn rows(folder: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/results/demo/rows.parquet");
    let demo: Vec<Row> = read_rows(&demo).unwrap().map(Result::unwrap).collect();
    let again = demo.iter().filter(|row| row.knob.is_some()).flat_map(|row| {
        let half = Row { resize: "1/2".to_owned(), payload_bytes: row.payload_bytes / 2, ..row.clone() };
        let other = Row { preset: "other".to_owned(), payload_bytes: row.payload_bytes / 3 * 4, ..row.clone() };
        [half, other]
    });
    let labelled = demo.iter().map(|row| Row {
        data_set: Some("with labels".to_owned()),
        label_index: row.reference_index,
        correct: row.agrees,
        ..row.clone()
    });
    write_rows(folder.join("rows-0.parquet"), demo.iter().cloned().chain(again).chain(labelled)).unwrap();
}

#[test]
fn a_report_works_in_a_browser() {
    let Some(binary) = chromium() else {
        eprintln!("skipped: there is no Chromium on the path and none in AFFERENT_CHROMIUM");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    rows(folder.path());
    let page = folder.path().join("report.html");
    let (ok, _, err) = run(Command::new(afferent()).arg("report").arg(folder.path()).arg("--out").arg(&page));
    assert!(ok, "{err}");
    let pictures = afferent().with_file_name("report-pictures");
    std::fs::create_dir_all(&pictures).unwrap();

    let mut browser = Browser::start(&binary);
    for (scheme, ground) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")] {
        browser.scheme(scheme);
        browser.screen(1280, 900, false);
        browser.open(&page);
        everything_is_drawn(&mut browser);
        let colour = browser.ask("getComputedStyle(document.documentElement).backgroundColor");
        assert_eq!(colour, ground);
        texts_and_series_can_be_told_from_the_ground(&mut browser);
        browser.picture(&pictures.join(format!("{scheme}.png")));
        browser.screen(390, 844, true);
        browser.open(&page);
        let width = browser.ask("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(width <= 390, "a phone's page is {width} pixels wide");
        browser.picture(&pictures.join(format!("{scheme}-phone.png")));
    }
    browser.screen(1280, 900, false);
    browser.open(&page);
    the_keyboard_reaches_and_works_everything(&mut browser);
    assert_eq!(browser.complaints(), [""; 0]);

    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&page);
    everything_is_drawn(&mut browser);
    let buttons = browser.ask("[...document.querySelectorAll('.script')].filter((b) => b.offsetWidth).length");
    assert_eq!(buttons, 0, "what needs the script is not shown without it");
}

fn everything_is_drawn(browser: &mut Browser) {
    let charts = browser.ask(
        r#"[...document.querySelectorAll("figure svg.chart:not(.swatch)")].map((svg) => {
            const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
            const inside = (box) => box.x >= -1 && box.y >= -1 && box.x + box.width <= width + 1 && box.y + box.height <= height + 1;
            const marks = [...svg.querySelectorAll(".mark")];
            const texts = [...svg.querySelectorAll("text:not([transform])")];
            return {
                name: svg.getAttribute("aria-label"),
                marks: marks.length,
                outside: [...marks, ...texts].filter((part) => !inside(part.getBBox())).map((part) => part.outerHTML),
            };
        })"#,
    );
    let charts = charts.as_array().unwrap();
    assert_eq!(browser.ask("document.querySelectorAll('figure.block').length"), charts.len());
    for chart in charts {
        assert!(chart["marks"].as_u64().unwrap() > 0 && chart["outside"] == json!([]), "{chart}");
    }
    for name in [
        "Rate and distortion: PSNR",
        "Rate and distortion: SI-SDR",
        "Rate and task: top-1 agreement with the pristine prediction",
        "Rate and task: top-1 accuracy with labels",
        "top-1 agreement against SSIM",
    ] {
        assert!(charts.iter().any(|chart| chart["name"] == name), "no `{name}` in {charts:#?}");
    }
    assert!(browser.ask("document.querySelectorAll('table').length").as_u64().unwrap() > 10);
}

/// Contrast by WCAG 2.2: 4.5 for text, 3 for what is drawn.
fn texts_and_series_can_be_told_from_the_ground(browser: &mut Browser) {
    let contrasts = browser.ask(
        r#"(() => {
            const luminance = (colour) => {
                const [r, g, b] = colour.match(/[\d.]+/g).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = luminance(getComputedStyle(document.documentElement).backgroundColor);
            const contrast = (colour) => {
                const [low, high] = [ground, luminance(colour)].sort((a, b) => a - b);
                return (high + 0.05) / (low + 0.05);
            };
            const least = (selector, property) =>
                Math.min(...[...document.querySelectorAll(selector)].map((part) => contrast(getComputedStyle(part)[property])));
            return {
                text: least("h1, h2, h3, h4, p, td, th, dd, summary, a:not(.skip), button", "color"),
                labels: least(".chart .tick, .chart .soft, .chart .knob:not(.rim)", "fill"),
                marks: least(".chart .mark", "fill"),
            };
        })()"#,
    );
    let least = |name: &str| contrasts[name].as_f64().unwrap();
    assert!(least("text") >= 4.5 && least("labels") >= 4.5 && least("marks") >= 3.0, "{contrasts}");
}

fn the_keyboard_reaches_and_works_everything(browser: &mut Browser) {
    let focused = "(() => { const at = document.activeElement; \
                   return [at.tagName, at.id, at.className.baseVal ?? at.className, at.textContent.slice(0, 30), at.dataset.toggle ?? '', at.dataset.csv ?? ''].join('|'); })()";
    let mut reached = Vec::new();
    for _ in 0..400 {
        browser.press("Tab");
        let at = browser.ask(focused).as_str().unwrap().to_owned();
        if at.starts_with("BODY") {
            break;
        }
        reached.push(at);
    }
    assert!(reached[0].contains("skip"), "{reached:?}");
    for part in ["BUTTON|_theme", "A||", "|mark", "DIV||scroll", "SUMMARY", "|faint|", "_table"] {
        assert!(reached.iter().any(|at| at.contains(part)), "Tab does not reach `{part}`: {reached:#?}");
    }

    browser.ask("document.querySelector('.skip').focus()");
    browser.press("Enter");
    assert_eq!(browser.ask("location.hash"), "#_main");

    browser.ask("document.getElementById('_theme').focus()");
    let before = browser.ask("getComputedStyle(document.documentElement).backgroundColor");
    browser.press(" ");
    assert_ne!(browser.ask("getComputedStyle(document.documentElement).backgroundColor"), before);
    browser.press("Enter");
    assert_eq!(browser.ask("getComputedStyle(document.documentElement).backgroundColor"), before);

    let figure = "[...document.querySelectorAll('figure')].find((f) => f.querySelector('[data-toggle=faint]'))";
    let shown =
        format!("[...{figure}.querySelectorAll('.chart .mark')].filter((m) => m.getBoundingClientRect().width).length");
    let all = browser.ask(&shown).as_u64().unwrap();
    for toggle in ["faint", "0"] {
        browser.ask(&format!("{figure}.querySelector('[data-toggle=\"{toggle}\"]').focus()"));
        browser.press(" ");
        assert!(browser.ask(&shown).as_u64().unwrap() < all, "{toggle}");
        browser.press(" ");
        assert_eq!(browser.ask(&shown).as_u64().unwrap(), all, "{toggle}");
    }

    browser.ask(&format!("{figure}.querySelector('.mark[tabindex=\"0\"]').focus()"));
    let first = browser.ask("document.getElementById('_tip').textContent");
    browser.press("ArrowRight");
    let second =
        browser.ask("document.getElementById('_tip').hidden ? '' : document.getElementById('_tip').textContent");
    assert!(second.as_str().unwrap().contains("n = ") && first != second, "{first} {second}");

    let column = "[...document.getElementById('unnamed-images_points_table').tBodies[0].rows].map((row) => Number(row.cells[1].dataset.v))";
    browser.ask("document.querySelectorAll('#unnamed-images_points_table thead button')[1].focus()");
    for (press, sign) in [("Enter", 1.0), (" ", -1.0)] {
        browser.press(press);
        let values: Vec<f64> =
            browser.ask(column).as_array().unwrap().iter().map(|v| sign * v.as_f64().unwrap()).collect();
        assert!(values.len() > 5 && values.is_sorted(), "{values:?}");
    }

    browser.ask("document.querySelector('figure details summary').focus()");
    browser.press("Enter");
    assert_eq!(browser.ask("document.querySelector('figure details').open"), true);

    browser.ask("URL.createObjectURL = (blob) => { globalThis.saved = blob.text(); return '#'; }; null");
    browser.ask("document.querySelector('[data-csv=unnamed-images_points_table]').focus()");
    browser.press("Enter");
    let csv = browser.ask("saved");
    assert!(csv.as_str().unwrap().starts_with("operating point,"), "{csv}");
}
