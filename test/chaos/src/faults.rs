//! The faults: each is begun, lasts for a moment and is undone.

mod processes;
mod resources;

pub use processes::{host, shims};

use std::{
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::Duration,
};

use crate::{
    calm,
    plan::{Fault, Plan},
    stage,
};

/// What concerns everybody happens one at a time: two programs cannot trace one host.
static ONE: Mutex<()> = Mutex::new(());

/// Lets the plan's fault happen, at its moment, and returns when it is over: whether it found its victim.
pub fn happen(plan: &Plan) -> bool {
    let Some((fault, moment)) = plan.fault else { return false };
    sleep(Duration::from_millis(moment));
    // A shim that serves others is theirs as well.
    let concerns_all = match fault {
        Fault::KillShim | Fault::StopShim | Fault::DescriptorsOfShim => plan.long_lived,
        Fault::KillInit | Fault::KillCompiler | Fault::Deadline | Fault::TightContainer => false,
        _ => true,
    };
    if !concerns_all {
        return inject(fault, plan);
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _disturbance = calm::disturb();
    inject(fault, plan)
}

fn inject(fault: Fault, plan: &Plan) -> bool {
    let ids: Vec<String> = (0..plan.containers.len()).map(|number| stage::id(plan.number, number)).collect();
    let measure = plan.measure;
    let up_to = |limit: u64| Duration::from_millis(1 + measure % limit);
    match fault {
        Fault::KillShim if plan.long_lived => processes::kill_init(&ids),
        Fault::KillShim => processes::kill_shim(&ids),
        Fault::KillHost => processes::kill_host(),
        Fault::KillWorker => processes::kill_worker(),
        Fault::KillCompiler => processes::kill_compiler(),
        Fault::KillInit => processes::kill_init(&ids),
        Fault::StopHost => processes::stop_host(up_to(4000)),
        Fault::StopShim => processes::stop_shim(&ids, plan.long_lived, up_to(3000)),
        Fault::KillContainerd => processes::kill_containerd(up_to(2000)),
        Fault::DescriptorsOfHost => resources::few_descriptors(processes::host(), measure % 8, up_to(700)),
        Fault::DescriptorsOfShim => {
            resources::few_descriptors(processes::shim(&ids, plan.long_lived), measure % 8, up_to(700))
        }
        Fault::FullState => resources::fill(e2e::engine::STATE, up_to(700)),
        Fault::FullCache => resources::fill(stage::CACHE, up_to(1500)),
        Fault::TightWorker => resources::tight_worker(measure),
        Fault::BadDisk => resources::trace_host(&resources::bad_calls(measure), up_to(900)),
        Fault::SlowDisk => resources::trace_host(&resources::slow_calls(measure), up_to(1500)),
        // The lifecycle itself does these.
        Fault::Deadline | Fault::TightContainer => true,
    }
}
