//! What a lifecycle is to do, and what is to happen to it: all of it decided by the seed and the lifecycle's number.

use std::fmt;

use e2e::Kind;

/// Numbers that look random (Steele, Lea, Flood: SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    /// Those of one lifecycle.
    pub fn new(seed: u64, lifecycle: u64) -> Self {
        let mut numbers = Self(seed ^ lifecycle.wrapping_mul(0xD134_2543_DE82_EF95));
        numbers.next();
        numbers
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One from 0 on, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap_or(0)]
    }

    fn often(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What may happen to a lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL for the lifecycle's own shim.
    KillShim,
    /// SIGKILL for the engine host.
    KillHost,
    /// SIGKILL for a worker of the host.
    KillWorker,
    /// SIGKILL for a process that compiles.
    KillCompiler,
    /// SIGKILL for a container's first process.
    KillInit,
    /// SIGSTOP for the host, and SIGCONT later.
    StopHost,
    /// SIGSTOP for the shim, and SIGCONT later.
    StopShim,
    /// A caller that goes away, and asks again.
    Deadline,
    /// containerd killed and started again.
    KillContainerd,
    /// No more descriptors for the host.
    DescriptorsOfHost,
    /// No more descriptors for the shim.
    DescriptorsOfShim,
    /// A full disk where the state of containers is.
    FullState,
    /// A full disk where native code is kept.
    FullCache,
    /// A container with too little memory.
    TightContainer,
    /// A worker that gets no more memory.
    TightWorker,
    /// A disk with errors, for the host and its workers.
    BadDisk,
    /// A slow disk, for the host and its workers.
    SlowDisk,
}

/// With how often each is chosen among the others.
const FAULTS: [(Fault, u64); 17] = [
    (Fault::KillShim, 14),
    (Fault::KillHost, 5),
    (Fault::KillWorker, 12),
    (Fault::KillCompiler, 8),
    (Fault::KillInit, 12),
    (Fault::StopHost, 3),
    (Fault::StopShim, 4),
    (Fault::Deadline, 16),
    (Fault::KillContainerd, 1),
    (Fault::DescriptorsOfHost, 4),
    (Fault::DescriptorsOfShim, 6),
    (Fault::FullState, 6),
    (Fault::FullCache, 4),
    (Fault::TightContainer, 8),
    (Fault::TightWorker, 6),
    (Fault::BadDisk, 4),
    (Fault::SlowDisk, 3),
];

/// What is done with a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A program to its end; its exit code must be right.
    Exec,
    /// A program that is killed.
    ExecAndKill,
    /// Pause, and resume.
    Pause,
    /// Pause, and no resume.
    StayPaused,
    /// Other limits.
    Update,
    /// Some rest.
    Rest,
}

/// One container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    /// Wasm or Linux.
    pub kind: Kind,
    /// With a terminal.
    pub terminal: bool,
    /// A module that no cache has, whose container runs for long enough to earn native code.
    pub fresh: bool,
    /// Two things to do.
    pub steps: [Step; 2],
}

/// One lifecycle: of a container, or of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its number.
    pub number: u64,
    /// Its containers; several are a pod.
    pub containers: Vec<Container>,
    /// Whether a shim that lives on serves them.
    pub long_lived: bool,
    /// What happens, and how many milliseconds after the beginning.
    pub fault: Option<(Fault, u64)>,
    /// How bad: for how many milliseconds, how many bytes, which call of a row; each fault knows.
    pub measure: u64,
}

impl Plan {
    /// The plan of a lifecycle. `faults` is how many of a hundred have one; `spared` is what has not to happen.
    pub fn new(seed: u64, number: u64, faults: u64, spared: &[Fault]) -> Self {
        let mut numbers = Numbers::new(seed, number);
        let long_lived = numbers.often(20);
        let count = if numbers.often(25) { 2 + numbers.below(2) } else { 1 };
        let fault = numbers.often(faults).then(|| fault(&mut numbers)).filter(|fault| !spared.contains(fault));
        let fault = fault.map(|fault| (fault, numbers.below(250)));
        // Only a module that no cache has is compiled.
        let fresh = fault.is_some_and(|(fault, _)| matches!(fault, Fault::KillCompiler | Fault::FullCache));
        let containers = (0..count).map(|_| container(&mut numbers, fresh)).collect();
        Self { number, containers, long_lived, fault, measure: numbers.next() >> 1 }
    }
}

fn fault(numbers: &mut Numbers) -> Fault {
    let mut at = numbers.below(FAULTS.iter().map(|(_, weight)| weight).sum());
    for (fault, weight) in FAULTS {
        if at < weight {
            return fault;
        }
        at -= weight;
    }
    Fault::KillShim
}

fn container(numbers: &mut Numbers, fresh: bool) -> Container {
    const STEPS: [Step; 6] = [Step::Exec, Step::ExecAndKill, Step::Pause, Step::StayPaused, Step::Update, Step::Rest];
    let kind = if fresh || numbers.often(50) { Kind::Wasm } else { Kind::Linux };
    Container { kind, terminal: numbers.often(20), fresh, steps: [numbers.of(&STEPS), numbers.of(&STEPS)] }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lifecycle {}", self.number)?;
        if self.long_lived {
            write!(f, ", behind the shim that lives on")?;
        }
        for Container { kind, terminal, fresh, steps } in &self.containers {
            let fresh = if *fresh { ", a module of its own" } else { "" };
            let terminal = if *terminal { ", terminal" } else { "" };
            write!(f, ", {kind:?} ({steps:?}{terminal}{fresh})")?;
        }
        match self.fault {
            Some((fault, moment)) => write!(f, ", {fault:?} at {moment} ms, measure {}", self.measure),
            None => write!(f, ", no fault"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_number_make_the_same_plan_and_others_another() {
        let plan = |seed, number| Plan::new(seed, number, 50, &[]);
        assert_eq!(plan(7, 3), plan(7, 3));
        assert!((0..20).any(|seed| plan(seed, 3).containers != plan(seed, 4).containers));
        assert!((0..20).any(|number| plan(1, number).containers != plan(2, number).containers));
    }

    #[test]
    fn every_fault_occurs_and_what_is_spared_does_not() {
        let plans: Vec<_> = (0..3000).map(|number| Plan::new(1, number, 100, &[Fault::KillHost])).collect();
        for (fault, _) in FAULTS {
            let found = plans.iter().any(|plan| plan.fault.is_some_and(|(one, _)| one == fault));
            assert_eq!(found, fault != Fault::KillHost, "{fault:?}");
        }
        let without = Plan::new(1, 1, 0, &[]);
        assert_eq!(without.fault, None);
    }
}
