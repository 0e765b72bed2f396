//! Families of metrics that are made when somebody asks, from what a component counts in its own way.
//!
//! ```text
//!   Metrics::add(|families| families.counter("mcdns_x_total", "What x is").value(&[("kind", "a")], component.x()))
//! ```
//!
//! A component that counts does so without this crate, and hands in a function that reads its counters. Labels must
//! be bounded: a transport, a zone, an RCODE; never an owner name, an address of a client or an error text.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Families that are being gathered.
#[derive(Debug, Default)]
pub struct Families(Vec<MetricFamily>);

/// One of them.
#[derive(Debug)]
pub struct Family<'a>(&'a mut MetricFamily);

/// What a histogram has counted.
#[derive(Debug, Clone, Copy)]
pub struct Buckets<'a> {
    /// Upper bounds, rising, in the unit that the name of the metric ends with.
    pub bounds: &'a [f64],
    /// How many were counted between each bound and the one before; one more at the end stands for what is above all.
    pub counts: &'a [u64],
    /// The sum of all that was counted, in the same unit.
    pub sum: f64,
}

impl Families {
    /// A family of counters. The name begins with `mcdns_` and ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, MetricType::COUNTER)
    }

    /// A family of values that go up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, MetricType::GAUGE)
    }

    /// A family of histograms. The name ends with the unit.
    pub fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, MetricType::HISTOGRAM)
    }

    /// All that have a value; one without has nothing to say.
    pub(super) fn gathered(self) -> impl Iterator<Item = MetricFamily> {
        self.0.into_iter().filter(|family| !family.get_metric().is_empty())
    }

    /// The family of that name, so that several components may share one.
    fn family(&mut self, name: &str, help: &str, kind: MetricType) -> Family<'_> {
        let known = self.0.iter().position(|family| family.name() == name);
        let at = known.unwrap_or_else(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            self.0.push(family);
            self.0.len() - 1
        });
        Family(&mut self.0[at])
    }
}

impl Family<'_> {
    /// Adds the value for these labels, to be called once for each set of them.
    #[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
    pub fn value(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        let mut metric = Metric::from_label(pairs(labels));
        if self.0.get_field_type() == MetricType::GAUGE {
            let mut gauge = Gauge::default();
            gauge.set_value(value as f64);
            metric.set_gauge(gauge);
        } else {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            metric.set_counter(counter);
        }
        self.0.mut_metric().push(metric);
        self
    }

    /// Adds the histogram for these labels.
    pub fn buckets(&mut self, labels: &[(&str, &str)], buckets: Buckets<'_>) -> &mut Self {
        let mut cumulative = 0;
        let made = buckets.bounds.iter().zip(buckets.counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(made.collect());
        histogram.set_sample_count(buckets.counts.iter().sum());
        histogram.set_sample_sum(buckets.sum);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.0.mut_metric().push(metric);
        self
    }
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn what_components_hand_in_is_exposed_as_prometheus_reads_it() {
        let mut families = Families::default();
        families.counter("mcdns_a_total", "A").value(&[("kind", "x")], 1);
        families.gauge("mcdns_nothing", "Never shown");
        families.counter("mcdns_a_total", "A").value(&[("kind", "y\"\n")], 2);
        let buckets = Buckets { bounds: &[0.5, 1.0], counts: &[3, 2, 1], sum: 4.5 };
        families.histogram("mcdns_b_seconds", "B").buckets(&[], buckets);
        let text =
            TextEncoder::new().encode_to_string(&families.gathered().collect::<Vec<_>>()).expect("an exposition");
        let expected = "\
            # HELP mcdns_a_total A\n# TYPE mcdns_a_total counter\n\
            mcdns_a_total{kind=\"x\"} 1\nmcdns_a_total{kind=\"y\\\"\\n\"} 2\n\
            # HELP mcdns_b_seconds B\n# TYPE mcdns_b_seconds histogram\n\
            mcdns_b_seconds_bucket{le=\"0.5\"} 3\nmcdns_b_seconds_bucket{le=\"1\"} 5\n\
            mcdns_b_seconds_bucket{le=\"+Inf\"} 6\nmcdns_b_seconds_sum 4.5\nmcdns_b_seconds_count 6\n";
        assert_eq!(text, expected);
    }
}
