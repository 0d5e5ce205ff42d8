//! Who is let in, and what a stranger is told.

use crate::process::{DEVICE, Site, afferent, pictures, run};
use std::process::Command;
use std::time::Duration;

/// Runs an agent with the identity in `identity` against a server of `site`.
fn refused(site: &Site, identity: &std::path::Path) -> String {
    pictures(&site.path("media"), 2);
    let (mut server, address) = site.server("127.0.0.1:0", None);
    let config = site.agent_config(&address, &site.path("media"), &[("png", None)], "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(site.device.to_str().unwrap(), identity.to_str().unwrap())).unwrap();
    let mut agent = site.agent(&config);
    let error = agent.wait(Duration::from_secs(60)).unwrap_err().to_string();
    server.terminate().unwrap();
    server.wait(Duration::from_secs(60)).unwrap();
    assert!(!site.path("server").join("rows").join("rows-00000000000000000000.parquet").exists());
    error
}

#[test]
fn a_device_of_another_authority_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    let error = refused(&site, &other.device);
    assert!(error.contains("AFF-REFUSED") && error.contains("enroll"), "{error}");
}

#[test]
fn a_revoked_device_is_refused() {
    let site = Site::new();
    let (ok, _, err) = run(Command::new(afferent()).args(["enroll", "--revoke", DEVICE]).arg(site.path("identity")));
    assert!(ok, "{err}");
    let error = refused(&site, &site.device);
    assert!(error.contains("AFF-REFUSED") && error.contains(DEVICE), "{error}");
}
