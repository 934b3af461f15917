//! The verbs whose time is told to whoever collects traces.

use std::sync::Arc;

use containerd_shim::{TtrpcContext, api::CreateTaskRequest};
use wasmedge_shim_protocol::{ContainerKey, Verb};

use super::shared::Shared;
use crate::{
    error::Result,
    logging,
    tracing::{Traced, Tracing},
};

impl Shared {
    /// Begins a span for a request, if spans are wanted and the request is part of a trace that is recorded.
    pub fn begin_span(&self, context: &TtrpcContext) -> Option<Traced> {
        self.tracing.as_ref().and_then(|_| Tracing::begin(&context.metadata))
    }

    /// As [`Self::create`].
    pub async fn create_traced(self: Arc<Self>, request: CreateTaskRequest, traced: Option<Traced>) -> Result<u32> {
        let id = traced.is_some().then(|| request.id.clone());
        let created = self.create(request, traced.is_some()).await;
        if let (Some(traced), Some(id)) = (traced, id) {
            self.end_span(&traced, Verb::Create, &id, &created);
        }
        created
    }

    /// As [`Self::start`].
    pub async fn start_traced(self: Arc<Self>, id: &str, exec_id: &str, traced: Option<Traced>) -> Result<u32> {
        let started = self.start(id, exec_id).await;
        if let Some(traced) = traced.filter(|_| exec_id.is_empty()) {
            self.end_span(&traced, Verb::Start, id, &started);
        }
        started
    }

    /// Ends a span and lets the host send it, which nobody waits for.
    fn end_span<T>(self: &Arc<Self>, traced: &Traced, verb: Verb, id: &str, done: &Result<T>) {
        let Some(tracing) = &self.tracing else { return };
        let key = ContainerKey { namespace: self.namespace.clone(), id: id.to_owned() };
        let error = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let (shared, export) = (self.clone(), tracing.end(traced, verb, key, error));
        logging::spawn(async move { shared.engine.export(export).await });
    }
}
