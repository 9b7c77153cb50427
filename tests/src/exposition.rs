//! A page of metrics in Prometheus' text format, read.

use std::collections::BTreeMap;

/// What a process counts.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The metrics by name, those of a histogram under the histogram's.
    pub metrics: BTreeMap<String, Metric>,
}

/// One metric.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub kind: String,
    /// Its series.
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The line's name: of a histogram with its ending.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When it is none.
    pub fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut named = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                named = name.to_owned();
                page.metrics.entry(named.clone()).or_default().kind = kind.to_owned();
            } else if !line.starts_with('#') {
                let sample = Sample::read(line).unwrap_or_else(|| panic!("no sample: {line}"));
                assert!(sample.name.starts_with(&named), "{line} under the type of {named}");
                page.metrics.entry(named.clone()).or_default().samples.push(sample);
            }
        }
        page
    }

    /// The value of the series that has these labels, among others.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.metrics
            .get(name)?
            .samples
            .iter()
            .find(|sample| labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|it| it == value)))
            .map(|sample| sample.value)
    }
}

impl Sample {
    fn read(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            None => (series, BTreeMap::new()),
            Some((name, labels)) => (name, read_labels(labels.strip_suffix('}')?)?),
        };
        Some(Self { name: name.to_owned(), labels, value: value.parse().ok()? })
    }
}

fn read_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let (mut value, mut end) = (String::new(), None);
        let mut chars = rest.char_indices();
        while let Some((place, char)) = chars.next() {
            match char {
                '"' => {
                    end = Some(place + 1);
                    break;
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        labels.insert(name.to_owned(), value);
        text = rest[end?..].trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_quotes_and_braces_are_read() {
        let page = Page::read(
            "# TYPE a gauge\na{b=\"x\\\"},y\",c=\"\"} 2.5\na 1\n\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\n",
        );
        assert_eq!(page.value("a", &[("b", "x\"},y"), ("c", "")]), Some(2.5));
        assert_eq!(
            (page.metrics["h"].kind.as_str(), page.metrics["h"].samples[0].name.as_str()),
            ("histogram", "h_bucket")
        );
    }
}
