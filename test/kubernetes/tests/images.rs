//! Images from a registry.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use e2e::{Kind, command, cri::crictl};
use kubernetes_tests::{Namespace, for_kinds, pod::Pod};
use serde_json::{Value, json};

for_kinds! {
    an_index_of_an_image_for_wasi_is_refused_by_name_and_its_manifest_is_pulled: Wasm;
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry of one image with several tags (OCI distribution-spec, "Pull").
#[derive(Clone, Default)]
struct Content {
    /// Media type and bytes by tag or digest.
    objects: BTreeMap<String, (&'static str, Vec<u8>)>,
}

fn digest(bytes: &[u8]) -> String {
    let sum = command("sha256sum").input(bytes).run().stdout;
    format!("sha256:{}", sum.split(' ').next().expect("a sum"))
}

impl Content {
    fn add(&mut self, tag: Option<&str>, kind: &'static str, bytes: Vec<u8>) {
        let digest = digest(&bytes);
        for name in tag.map(String::from).into_iter().chain([digest]) {
            self.objects.insert(name, (kind, bytes.clone()));
        }
    }

    /// The image in an archive (OCI image-layout) by the tag `manifest`, in an index for `wasi/wasm` by `index`, and in one for this
    /// machine's platform by `linux`.
    fn of(archive: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let (archive, into) = (archive.display().to_string(), folder.path().display().to_string());
        command("tar").args(["-xf", &archive, "-C", &into]).run();
        let index = fs::read(folder.path().join("index.json")).expect("the index of the archive");
        let mut index: Value = serde_json::from_slice(&index).expect("the index of the archive");
        let manifest = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        let mut content = Self::default();
        for blob in fs::read_dir(folder.path().join("blobs/sha256")).expect("blobs").flatten() {
            let bytes = fs::read(blob.path()).expect("a blob");
            if manifest.ends_with(blob.file_name().to_str().expect("a digest")) {
                content.add(Some("manifest"), MANIFEST, bytes);
            } else {
                content.add(None, "application/octet-stream", bytes);
            }
        }
        assert_eq!(index["manifests"][0]["platform"], json!({ "architecture": "wasm", "os": "wasi" }));
        content.add(Some("index"), INDEX, index.to_string().into_bytes());
        index["manifests"][0]["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        content.add(Some("linux"), INDEX, index.to_string().into_bytes());
        content
    }

    /// Serves it until this process ends: the port.
    fn serve(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // One that goes away is no failure.
                let _ = self.answer(client);
            }
        });
        port
    }

    fn answer(&self, mut client: TcpStream) -> std::io::Result<()> {
        let head: Vec<_> =
            BufReader::new(&client).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let mut words = head.first().map(String::as_str).unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some((kind, bytes)) = self.objects.get(path.rsplit('/').next().unwrap_or_default()) else {
            return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let (length, digest) = (bytes.len(), digest(bytes));
        let about = format!("Content-Type: {kind}\r\nContent-Length: {length}\r\nDocker-Content-Digest: {digest}");
        client.write_all(format!("HTTP/1.1 200 OK\r\n{about}\r\nConnection: close\r\n\r\n").as_bytes())?;
        if method == "GET" { client.write_all(bytes) } else { Ok(()) }
    }
}

fn pod<'a>(space: &'a Namespace, image: &str) -> Pod<'a> {
    space.pod_with(Kind::Wasm, &[], |pod| {
        let container = pod["spec"]["containers"][0].as_object_mut().expect("a container");
        container.remove("command");
        container.insert("image".into(), json!(image));
        container.insert("imagePullPolicy".into(), json!("Always"));
    })
}

/// F7: containerd's CRI takes the platform of the node out of an index, whatever the runtime class says. docs/kubernetes.md names the
/// ways around.
fn an_index_of_an_image_for_wasi_is_refused_by_name_and_its_manifest_is_pulled(space: &Namespace, _: Kind) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images/hello-wasi.tar");
    let port = Content::of(&archive).serve();
    let image = |tag: &str| format!("127.0.0.1:{port}/hello:{tag}");
    let refused = pod(space, &image("index"));
    refused.event(&["Failed", "ErrImagePull"]);
    refused.event(&["Failed", &image("index"), "no match for platform"]);
    for tag in ["manifest", "linux"] {
        let pod = pod(space, &image(tag));
        assert_eq!(pod.ended(), 0, "{tag}");
        assert!(pod.logs().contains("hello"), "{}", pod.logs());
        crictl(["rmi", &image(tag)]).run();
    }
}
