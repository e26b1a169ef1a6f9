#![no_main]

use std::cell::OnceCell;

use titlecard_engine::pipeline::Workspace;
use titlecard_engine::sample;
use titlecard_fuzz::api::Api;
use titlecard_fuzz::engine::folder;

thread_local! {
    static API: OnceCell<(tempfile::TempDir, Api)> = const { OnceCell::new() };
}

fn open() -> (tempfile::TempDir, Api) {
    let place = tempfile::tempdir().expect("a folder");
    let mut config = folder::make(place.path(), 40);
    let workspace = Workspace::new(place.path());
    std::fs::write(workspace.rules(), sample::RULES).expect("writable");
    config.server.rate_per_second = 0;
    let api = Api::open(workspace, config);
    (place, api)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| API.with(|api| api.get_or_init(open).1.request(bytes)));
