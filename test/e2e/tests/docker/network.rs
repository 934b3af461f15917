//! Sockets of modules, on Docker's bridge networks.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use e2e::{Kind, Scene, command, docker};

fn curl(url: &str) -> e2e::Finished {
    command("curl").args(["--silent", "--show-error", "--max-time", "10", url]).run()
}

#[test]
fn an_http_server_is_reached_through_a_published_port() {
    let scene = Scene::new();
    let server =
        scene.docker(Kind::Wasm).flags(["-p", "18080:8080", "-e", "COLOUR=green"]).detach(["/http.wasm", "8080"]);
    server.says("listening on 8080");
    curl("http://127.0.0.1:18080/").prints("hello from wasm http\n");
    curl("http://127.0.0.1:18080/env/COLOUR").prints("green\n");
    curl(&format!("http://{}:8080/", server.address())).prints("hello from wasm http\n");
    for _ in 0..20 {
        curl("http://10.99.0.1:18080/").prints("hello from wasm http\n");
    }
}

#[test]
fn a_tcp_server_echoes_to_many_clients_at_once() {
    let scene = Scene::new();
    let server = scene.docker(Kind::Wasm).flags(["-p", "127.0.0.1:17007:7"]).detach(["/tcp-echo.wasm", "7"]);
    server.says("listening on 7");
    let mut clients: Vec<_> = (0..16).map(|_| TcpStream::connect("127.0.0.1:17007").unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Some(e2e::patient(std::time::Duration::from_secs(10)))).unwrap();
        client.write_all(format!("client {number}\n").repeat(1000).as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut echo = String::new();
        client.read_to_string(&mut echo).unwrap();
        assert!(echo == format!("client {number}\n").repeat(1000), "client {number} got {} bytes", echo.len());
    }
}

#[test]
fn a_server_of_an_unprivileged_user_gets_a_low_port_as_under_runc() {
    let scene = Scene::new();
    let server = scene.docker(Kind::Wasm).flags(["--user", "1000"]).detach(["/http.wasm", "80"]);
    server.says("listening on 80");
    curl(&format!("http://{}/", server.address())).prints("hello from wasm http\n");
}

#[test]
fn containers_find_each_other_by_name_on_a_network_of_their_own() {
    let scene = Scene::new();
    let network = scene.name();
    docker::network(&network);
    let on_network = ["--network", &network];
    let server = scene.docker(Kind::Wasm).flags(on_network).flag("--network-alias=web").detach(["/http.wasm", "8080"]);
    server.says("listening on 8080");
    for name in ["web", &server.name] {
        let get = scene.docker(Kind::Wasm).flags(on_network).run(["/tcp-get.wasm", name, "8080", "/"]).exits(0);
        assert!(get.stdout.starts_with("HTTP/1.1 200 OK") && get.stdout.ends_with("hello from wasm http\n"), "{get}");
    }
    let field = format!("(index .NetworkSettings.Networks {network:?}).IPAddress");
    let address = server.docker(["inspect", "--format", &format!("{{{{{field}}}}}")]).stdout;
    scene.docker(Kind::Wasm).flags(on_network).run(["/resolve.wasm", "web"]).exits(0).prints(&address);
    let linux = scene.docker(Kind::Linux).flags(on_network).run(["wget", "-qO-", "http://web:8080/"]);
    linux.exits(0).prints("hello from wasm http\n");
}

#[test]
fn a_module_talks_to_a_linux_server() {
    let scene = Scene::new();
    let network = scene.name();
    docker::network(&network);
    let on_network = ["--network", &network];
    let script = "echo from linux >/index.html; echo ready; exec httpd -f -p 8080 -h /";
    let server = scene.docker(Kind::Linux).flags(on_network).detach(["sh", "-c", script]);
    server.says("ready");
    let get = || {
        let get = scene.docker(Kind::Wasm).flags(on_network).run(["/tcp-get.wasm", &server.name, "8080", "/"]);
        get.stdout.ends_with("from linux\n").then_some(())
    };
    e2e::until("the Linux server's answer", get);
}

#[test]
fn names_in_the_hosts_file_are_found() {
    let scene = Scene::new();
    let resolve = |host: &str| {
        let docker = scene.docker(Kind::Wasm).flags(["--add-host", "elsewhere:10.1.2.3", "--hostname", "guest"]);
        docker.run(["/resolve.wasm", host])
    };
    resolve("elsewhere").exits(0).prints("10.1.2.3\n");
    resolve("localhost").exits(0).prints("127.0.0.1\n");
    resolve("guest").exits(0);
}

#[test]
fn a_name_that_nobody_has_is_an_error_of_the_guest() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).run(["/resolve.wasm", "no-such-host.e2e"]);
    run.exits(1).says_in_one_line(&["no-such-host.e2e", "lookup failed"]);
}

#[test]
fn without_a_network_there_is_the_loopback_only() {
    let scene = Scene::new();
    let none = || scene.docker(Kind::Wasm).flags(["--network", "none"]);
    none().run(["/hello.wasm"]).exits(0);
    none().run(["/tcp-get.wasm", "10.99.0.1", "80", "/"]).exits(1);
}

#[test]
fn a_server_on_the_node_s_own_network_is_reached() {
    let scene = Scene::new();
    let server = scene.docker(Kind::Wasm).flags(["--network", "host"]).detach(["/http.wasm", "18081"]);
    server.says("listening on 18081");
    curl("http://127.0.0.1:18081/").prints("hello from wasm http\n");
}

#[test]
fn a_module_shares_the_network_of_another_container() {
    let scene = Scene::new();
    let server = scene.docker(Kind::Wasm).detach(["/http.wasm", "8080"]);
    server.says("listening on 8080");
    let shared = format!("--network=container:{}", server.name);
    let get = scene.docker(Kind::Wasm).flag(&shared).run(["/tcp-get.wasm", "127.0.0.1", "8080", "/"]).exits(0);
    assert!(get.stdout.ends_with("hello from wasm http\n"), "{get}");
}
