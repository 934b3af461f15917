//! HTTP by hyper, on tokio: WasmEdge's published variants of both, and the originals on Linux.
//!
//! usage: web serve PORT | web get URL [TIMES] | web post URL BYTES

use std::{convert::Infallible, env, error::Error, process::exit, time::Duration};

use hyper::{Body, Client, Method, Request, Response, StatusCode, server::conn::Http, service::service_fn};
use tokio::net::TcpListener;

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port] => serve(port).await,
        ["get", url] => get(url, 1).await,
        ["get", url, times] => get(url, times.parse().unwrap_or(1)).await,
        ["post", url, bytes] => post(url, bytes.parse().unwrap_or(0)).await,
        _ => {
            eprintln!("usage: web serve PORT | web get URL [TIMES] | web post URL BYTES");
            exit(2);
        }
    };
    if let Err(error) = done {
        eprintln!("web: {error}");
        exit(1);
    }
}

async fn serve(port: &str) -> Outcome {
    let address: std::net::SocketAddr = format!("0.0.0.0:{port}").parse()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = Http::new().serve_connection(stream, service_fn(answer)).await {
                eprintln!("web: {error}");
            }
        });
    }
}

async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let response = match (request.method(), request.uri().path()) {
        (&Method::POST, "/echo") => Response::new(request.into_body()),
        (&Method::GET, "/big") => Response::new("z".repeat(1 << 20).into()),
        (&Method::GET, "/slow") => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Response::new("late\n".into())
        }
        (&Method::GET, path) => Response::new(format!("hello from hyper {path}\n").into()),
        _ => {
            let mut refused = Response::new(Body::empty());
            *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            refused
        }
    };
    Ok(response)
}

async fn get(url: &str, times: usize) -> Outcome {
    let client = Client::new();
    for _ in 0..times {
        print(client.get(url.parse()?).await?).await?;
    }
    Ok(())
}

async fn post(url: &str, bytes: usize) -> Outcome {
    let body = "0123456789abcdef".repeat(bytes / 16);
    let request = Request::post(url).body(Body::from(body))?;
    print(Client::new().request(request).await?).await
}

async fn print(response: Response<Body>) -> Outcome {
    let status = response.status();
    let body = hyper::body::to_bytes(response.into_body()).await?;
    let sum = body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    println!("{status} {} bytes {sum:x}", body.len());
    Ok(())
}
