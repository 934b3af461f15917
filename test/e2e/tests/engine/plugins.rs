//! WasmEdge's plugins, from the admin's directory alone. The test's own has the module `wasmedge_test`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
};

use e2e::{Finished, Scene};

use super::{annotated, with_options};

/// An admin's directory: root's, in a place where nobody else can write.
struct Directory(tempfile::TempDir);

impl Directory {
    /// With the plugin `wasmedge_test` in it.
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("e2e-plugins-").tempdir_in("/usr/local/lib").unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-images/wasmedge_test.so");
        fs::copy(built, directory.path().join("wasmedge_test.so")).unwrap();
        fs::set_permissions(directory.path().join("wasmedge_test.so"), Permissions::from_mode(0o644)).unwrap();
        Self(directory)
    }

    fn plugin(&self) -> std::path::PathBuf {
        self.0.path().join("wasmedge_test.so")
    }

    /// Options that load `names` from it.
    fn options(&self, names: &str) -> String {
        let directory = self.0.path().display();
        format!("[plugins]\ndir = \"{directory}\"\nload = [{names}]\n[plugins.env]\nE2E_PLUGIN_SETTING = \"40\"\n")
    }
}

const NAME: &str = "\"wasmedge_test\"";

/// `/plugin.wasm` with the plugin of `directory` and these annotations.
fn run(scene: &Scene, directory: &Directory, annotations: &[&str]) -> Finished {
    with_options(scene, &directory.options(NAME), annotations).run(["/plugin.wasm"])
}

#[test]
fn a_module_calls_what_a_plugin_of_the_admin_offers() {
    let scene = Scene::new();
    let directory = Directory::new();
    for way in ["aot=off", "aot=require"] {
        // The plugin's setting comes from the admin's options, when it is loaded and later, and it has threads.
        run(&scene, &directory, &[way]).exits(142).complains("");
        run(&scene, &directory, &[way, "plugins=wasmedge_test"]).exits(142);
        run(&scene, &directory, &[way, "gas-limit=10000", "statistics=true"]).exits(142);
    }
    with_options(&scene, &directory.options(NAME), &[]).run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
}

#[test]
fn a_plugin_that_is_not_loaded_offers_nothing() {
    let scene = Scene::new();
    let directory = Directory::new();
    let missing = ["/plugin.wasm", "imports \"add\" from \"wasmedge_test\", which does not exist here"];
    run(&scene, &directory, &["plugins=none"]).fails().says_in_one_line(&missing);
    annotated(&scene, &[]).run(["/plugin.wasm"]).fails().says_in_one_line(&missing);
}

#[test]
fn a_container_names_only_plugins_that_the_runtime_has() {
    let scene = Scene::new();
    let directory = Directory::new();
    let path = directory.plugin().display().to_string();
    for name in ["other", "../wasmedge_test", path.as_str()] {
        let refused = run(&scene, &directory, &[&format!("plugins={name}")]);
        refused.fails().says_in_one_line(&["annotation io.wasmedge.plugins", name, "plugins.load"]);
    }
    let refused = annotated(&scene, &["plugins=wasmedge_test"]).run(["/hello.wasm"]);
    refused.fails().says_in_one_line(&["annotation io.wasmedge.plugins", "plugins.load"]);
}

#[test]
fn another_program_in_the_container_has_the_plugins_too() {
    let scene = Scene::new();
    let directory = Directory::new();
    for kind in ["/sleep.wasm", "sleep"] {
        let run = with_options(&scene, &directory.options(NAME), &[]).image("both");
        let task = run.start([kind, "600"]);
        task.exec(&[], ["/plugin.wasm"]).finish().exits(142);
        task.kill("KILL");
        task.stopped();
        task.delete();
        task.remove();
    }
}

#[test]
fn what_others_than_root_can_change_is_not_loaded() {
    let scene = Scene::new();
    let refused = |directory: &Directory, what: &Path| {
        let what = what.display().to_string();
        run(&scene, directory, &[]).fails().says_in_one_line(&["others than root can change", &what]);
    };
    let directory = Directory::new();
    fs::set_permissions(directory.plugin(), Permissions::from_mode(0o664)).unwrap();
    refused(&directory, &directory.plugin());
    let directory = Directory::new();
    chown(directory.plugin(), Some(1000), None).unwrap();
    refused(&directory, &directory.plugin());
    let directory = Directory::new();
    fs::set_permissions(directory.0.path(), Permissions::from_mode(0o777)).unwrap();
    refused(&directory, directory.0.path());
    let directory = Directory::new();
    fs::rename(directory.plugin(), directory.0.path().join("elsewhere")).unwrap();
    symlink("elsewhere", directory.plugin()).unwrap();
    refused(&directory, &directory.plugin());
    // The scene's directory is below /tmp, where everybody can write.
    let below = scene.directory().join("plugins");
    fs::create_dir(&below).unwrap();
    let options = format!("[plugins]\ndir = \"{}\"\nload = [{NAME}]\n", below.display());
    let run = with_options(&scene, &options, &[]).run(["/plugin.wasm"]);
    run.fails().says_in_one_line(&["others than root can change /tmp"]);
}

#[test]
fn what_is_no_plugin_is_named_with_the_cause() {
    let scene = Scene::new();
    let directory = Directory::new();
    let path = directory.plugin().display().to_string();
    fs::write(directory.plugin(), "no library").unwrap();
    run(&scene, &directory, &[]).fails().says_in_one_line(&["cannot load the plugin", &path]);
    fs::copy("/usr/lib/x86_64-linux-gnu/libc.so.6", directory.plugin()).unwrap();
    run(&scene, &directory, &[]).fails().says_in_one_line(&["cannot load the plugin", &path]);
    fs::remove_file(directory.plugin()).unwrap();
    run(&scene, &directory, &[]).fails().says_in_one_line(&["cannot use the plugin", &path, "No such file"]);
    let options = "[plugins]\ndir = \"/no/such\"\nload = [\"a\"]\n";
    let run = with_options(&scene, options, &[]).run(["/hello.wasm"]);
    run.fails().says_in_one_line(&["plugins.dir", "/no/such", "No such file"]);
}

#[test]
fn an_image_s_own_plugins_are_not_loaded_beside_the_admin_s() {
    let scene = Scene::new();
    let directory = Directory::new();
    let run = with_options(&scene, &directory.options(NAME), &[]).image("hostile-env").run(["/world.wasm"]).exits(0);
    assert_eq!(run.value("env.WASMEDGE_PLUGIN_PATH"), "/plugin");
    assert!(!run.stdout.contains("E2E_PLUGIN_SETTING"), "the plugin's environment is not the guest's\n{run}");
    run.complains("");
    assert!(!Path::new("/plugin-was-here").exists());
}
