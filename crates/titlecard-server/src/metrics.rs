//! Counters and times for Prometheus.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabels {
    pub(crate) code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) route: String,
}

/// All metrics of a server.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) errors: Family<CodeLabels, Counter>,
    pub(crate) seconds: Family<RouteLabels, Histogram>,
    pub(crate) changes: Counter,
    pub(crate) builds: Counter,
    pub(crate) failed_builds: Counter,
    pub(crate) in_flight: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) films: Gauge,
    pub(crate) pending: Gauge,
    pub(crate) memory: Gauge,
}

/// Upper ends of the times, in seconds.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.06, 0.1, 0.2, 0.35, 0.6, 1.0, 2.5, 10.0];

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds: Family<RouteLabels, Histogram> = Family::new_with_constructor(|| Histogram::new(BOUNDS));
        let mut metrics = Self {
            registry: Registry::with_prefix("titlecard"),
            requests: Family::default(),
            errors: Family::default(),
            seconds,
            changes: Counter::default(),
            builds: Counter::default(),
            failed_builds: Counter::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            connections: Gauge::default(),
            films: Gauge::default(),
            pending: Gauge::default(),
            memory: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered, by route and status", metrics.requests.clone());
        registry.register("errors", "Errors answered, by code", metrics.errors.clone());
        registry.register_with_unit(
            "request",
            "Time from the head of a request to the head of its answer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register("changes", "Changes of films acknowledged", metrics.changes.clone());
        registry.register("builds", "States built from changes", metrics.builds.clone());
        registry.register("failed_builds", "Builds that failed", metrics.failed_builds.clone());
        registry.register("in_flight", "Requests being answered", metrics.in_flight.clone());
        registry.register("waiting", "Searches that wait for a core", metrics.waiting.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("films", "Films in the current state", metrics.films.clone());
        registry.register("pending_changes", "Changed films not yet built in", metrics.pending.clone());
        registry.register_with_unit(
            "resident_memory",
            "Resident memory",
            Unit::Bytes,
            metrics.memory.clone(),
        );
        metrics
    }

    /// Everything in the text format.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Resident memory in bytes, where the operating system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}
