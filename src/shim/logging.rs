//! The daemon's log: each line names containerd's namespace, the pod, and the container that it is about.
//!
//! containerd reads it from a FIFO in the bundle and writes it to its own log, where the lines of all shims meet. Namespace and
//! pod are the daemon's own. The container is known by the task that says something: what a verb does is done in
//! [`about`] it, and what it leaves behind in [`spawn`] as well.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use containerd_shim::logger::FifoLogger;
use log::{
    LevelFilter, Log, Metadata, Record,
    kv::{Error, Key, Source, ToValue, VisitSource},
};
use tokio::task::JoinHandle;
use wasmedge_shim_protocol::PodName;

tokio::task_local! {
    /// The container that a task is about.
    static CONTAINER: Arc<str>;
}

/// What a daemon's lines have in common.
#[derive(Debug, Clone)]
pub struct Names {
    /// containerd's namespace.
    pub namespace: String,
    /// The id of the pod's sandbox, or of the one container.
    pub sandbox: String,
    /// What Kubernetes calls the pod, once that is known.
    pub pod: Arc<OnceLock<PodName>>,
}

/// Begins to log; `debug` is whether containerd wants more.
///
/// # Errors
/// The FIFO is not there.
pub fn begin(names: Names, debug: bool) -> Result<()> {
    let inner = FifoLogger::new(&names.namespace, &names.sandbox)?;
    let wanted = std::env::var(containerd_shim::logger::LOG_ENV).ok().and_then(|level| level.parse().ok());
    let level = wanted.unwrap_or(LevelFilter::Info);
    log::set_max_level(if debug { level.max(LevelFilter::Debug) } else { level });
    log::set_boxed_logger(Box::new(Named { names, inner }))?;
    Ok(())
}

/// Does `work`, whose lines name the container `id`.
pub async fn about<T>(id: &str, work: impl Future<Output = T>) -> T {
    CONTAINER.scope(id.into(), work).await
}

/// Does `work` in a task of its own, about the container that this one is about.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    match CONTAINER.try_with(Arc::clone) {
        Ok(container) => tokio::spawn(CONTAINER.scope(container, work)),
        Err(_) => tokio::spawn(work),
    }
}

/// The same about the container `id`.
pub fn spawn_about<T: Send + 'static>(id: &str, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(CONTAINER.scope(id.into(), work))
}

struct Named<L> {
    names: Names,
    inner: L,
}

/// What a line says of itself, and the names.
struct WithNames<'a> {
    line: &'a dyn Source,
    names: &'a Names,
    container: Option<Arc<str>>,
}

impl Source for WithNames<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        let Names { namespace, sandbox, pod } = self.names;
        visitor.visit_pair(Key::from_str("runtime"), crate::RUNTIME.to_value())?;
        visitor.visit_pair(Key::from_str("namespace"), namespace.to_value())?;
        visitor.visit_pair(Key::from_str("sandbox"), sandbox.to_value())?;
        if let Some(pod) = pod.get() {
            visitor.visit_pair(Key::from_str("pod_namespace"), pod.namespace.to_value())?;
            visitor.visit_pair(Key::from_str("pod"), pod.name.to_value())?;
        }
        if let Some(container) = &self.container {
            visitor.visit_pair(Key::from_str("container"), container.to_value())?;
        }
        self.line.visit(visitor)
    }
}

impl<L: Log> Log for Named<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let container = CONTAINER.try_with(Arc::clone).ok();
            let all = WithNames { line: record.key_values(), names: &self.names, container };
            self.inner.log(&record.to_builder().key_values(&all).build());
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use log::Level;

    use super::*;

    /// What a logger with these names writes while `work` is done with it.
    async fn lines(pod: Option<PodName>, work: impl AsyncFnOnce(&Named<FifoLogger>)) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let pod = Arc::new(pod.map(OnceLock::from).unwrap_or_default());
        let names = Names { namespace: "k8s.io".into(), sandbox: "s1".into(), pod };
        let named = Named { names, inner: FifoLogger::with_file(File::from(std::os::fd::OwnedFd::from(writer))) };
        log::set_max_level(LevelFilter::Info);
        work(&named).await;
        drop(named);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    fn say(named: &Named<FifoLogger>) {
        let own = ("event", 7);
        let record = Record::builder().level(Level::Warn).args(format_args!("it \"broke\"")).key_values(&own).build();
        named.log(&record);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_line_names_namespace_pod_and_the_container_that_it_is_about() {
        let pod = PodName { namespace: "shop".into(), name: "web".into(), container: String::new() };
        let text = lines(Some(pod), async |named| {
            say(named);
            about("c1", async { say(named) }).await;
        })
        .await;
        let [of_pod, of_container] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let names = "namespace=\"k8s.io\" sandbox=\"s1\" pod_namespace=\"shop\" pod=\"web\" ";
        assert!(of_pod.contains(&format!("{names}event=\"7\" msg=\"it \\\"broke\\\"\"")), "{text}");
        assert!(of_container.contains(&format!("{names}container=\"c1\" event=\"7\" msg=")), "{text}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_a_task_leaves_behind_is_about_the_same_container() {
        let found = about("c1", async { spawn(async { CONTAINER.with(|id| id.to_string()) }).await.unwrap() }).await;
        assert_eq!(found, "c1");
        let text = lines(None, async |named| say(named)).await;
        assert!(text.contains("sandbox=\"s1\" event=") && !text.contains("pod"), "{text}");
    }
}
