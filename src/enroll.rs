//! `afferent enroll`: the identities of a server and its devices.

use afferent_link_quic::identity::{Authority, LEAF_DAYS, ServerIdentity};
use afferent_media::{Code, Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct Args {
    /// Folder of the authority; made with the first server identity
    authority: PathBuf,
    /// Make the server's identity, in place of an earlier one, for this host name or IP address;
    /// give it once for each name
    #[arg(long, group = "what", value_name = "NAME")]
    server: Vec<String>,
    /// Make the identity of this device; may be given more than once
    #[arg(long, group = "what", value_name = "ID")]
    device: Vec<String>,
    /// Make the identity of this device anew; the earlier one is refused from now on
    #[arg(long, group = "what", value_name = "ID")]
    renew: Vec<String>,
    /// Refuse this device from its next connection on
    #[arg(long, group = "what", value_name = "ID")]
    revoke: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let authority = if args.authority.join("authority.key").exists() {
        Authority::open(&args.authority)?
    } else if args.server.is_empty() {
        return Err(Error::new(
            Code::NotFound,
            format!("there is no authority in {}", args.authority.display()),
            "check the folder; a new authority is made together with a --server identity",
        ));
    } else {
        let authority = Authority::create(&args.authority)?;
        println!("made an authority in {}; keep its key to yourself", args.authority.display());
        authority
    };
    if !args.server.is_empty() {
        let names: Vec<&str> = args.server.iter().map(String::as_str).collect();
        if ServerIdentity::open(&args.authority).is_ok() {
            println!("the server's earlier identity is replaced, with the names that it had");
        }
        authority.issue_server(&names)?;
        println!("server identity for {}: serve with --identity {}", names.join(", "), args.authority.display());
    }
    for id in &args.device {
        let bundle = authority.issue_device(id)?;
        println!("identity of {id}: copy {} to the board", bundle.display());
    }
    for id in &args.renew {
        let bundle = authority.renew_device(id)?;
        println!("new identity of {id}: copy {} to the board", bundle.display());
    }
    if !(args.server.is_empty() && args.device.is_empty() && args.renew.is_empty()) {
        println!("valid for {LEAF_DAYS} days from now; make them anew before (--server, --renew)");
    }
    for id in &args.revoke {
        authority.revoke(id)?;
        println!("{id} is revoked");
    }
    Ok(())
}
