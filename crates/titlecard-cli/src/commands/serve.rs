//! `titlecard serve`: the HTTP API and the page.

use titlecard_server::{Role, Server, keys_path, new_key};

use crate::session::{Session, SessionArguments, read_settings};
use crate::{Outcome, output};

/// Answers over HTTP: an API (`/docs`) and a page (`/`). Needs an index and a graph.
///
/// Listens on this machine alone unless told otherwise; an address that others can reach needs a key. Ctrl-C ends it,
/// with requests in flight answered; SIGHUP reads settings of ranking, rules, models and keys again.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard serve\n  titlecard serve --new-key read --key-name reading-room\n  \
                  titlecard serve --address 0.0.0.0:7878 --set server.public_reads=true"
)]
pub(crate) struct Arguments {
    /// Address and port (setting `server.address`, default 127.0.0.1:7878)
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<String>,
    /// Make a key, print it, and end: `read` searches, `write` changes films too, `admin` edits rules too
    #[arg(long, value_name = "ROLE", value_parser = ["read", "write", "admin"], conflicts_with = "address")]
    new_key: Option<String>,
    /// What the new key is called in the log
    #[arg(long, value_name = "NAME", default_value = "unnamed", requires = "new_key")]
    key_name: String,
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let overrides: Vec<(&str, &str, String)> =
        arguments.address.map(|address| ("--address", "server.address", address)).into_iter().collect();
    let opened = Session::open_service(session, &overrides)?;
    if let Some(role) = arguments.new_key.as_deref().and_then(Role::parse) {
        let path = keys_path(&opened.workspace);
        output::line(&new_key(&path, role, &arguments.key_name)?)?;
        opened.say(&format!(
            "this key is shown once; its hash is in `{}`. A server that runs takes it after SIGHUP",
            path.display()
        ));
        return Ok(Outcome::Done);
    }
    let workspace = opened.workspace.clone();
    let (session, workspace_again) = (session.clone(), workspace.clone());
    let read = move || {
        read_settings(&session, &workspace_again, &overrides)
            .and_then(|settings| Ok(settings.build()?))
            .map_err(|error| format!("{error:#}"))
    };
    let server = Server::open(workspace, Box::new(read))?;
    let scheme = if server.is_tls() { "https" } else { "http" };
    opened.say(&format!("serving on {scheme}://{}/ (API: /docs); Ctrl-C ends", server.address()?));
    server.run_until_signal()?;
    opened.say("ended");
    Ok(Outcome::Done)
}
