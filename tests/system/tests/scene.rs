//! The whole loop on a booted device, with fleet and agent killed half-way.

use touchstone_system::scene::{Options, Report, Scene};

#[test]
fn a_device_proves_itself_is_caught_healed_and_a_manipulated_one_refused() {
    let programs = touchstone_system::programs().unwrap();
    let mut report = Report::new();
    let mut scene = Scene::set(&programs, &mut report).unwrap();
    let options = Options { kill: true, screenshots: None };
    if let Err(error) = scene.play(&mut report, &options) {
        let folder = scene.keep_folder().to_owned();
        panic!("{error:?}\nseen before: {:#?}\nlogs: {}", report.lines(), folder.display());
    }
    let seen = report.lines().join("\n");
    for step in [
        "booted",
        "onboarded",
        "affirming",
        "explained",
        "enrolled",
        "connected",
        "restarted",
        "caught",
        "cut off",
        "revoked",
        "quarantined",
        "told",
        "recorded",
        "refused",
        "healed",
        "reconnected",
    ] {
        assert!(seen.contains(step), "the step `{step}` was not proven:\n{seen}");
    }
    assert!(seen.contains("/data/agent/agent.toml is sha256:"), "{seen}");
}
