//! A complexity plot as SVG.

// A picture is written once.
#![allow(clippy::format_push_string)]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Outcome;

/// Mean macro F1 against the logarithm of the size, a line for each name, points ordered by size.
///
/// Results of one name are grouped by `setting` if given, else all are one point.
pub(crate) fn plot(results: &str) -> Outcome<String> {
    let [width, height, left, right, top, bottom]: [f64; 6] = [760.0, 460.0, 60.0, 170.0, 20.0, 50.0];
    let mut groups: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
    for line in results.lines().filter(|line| line.starts_with('{')) {
        let value: Value = serde_json::from_str(line)?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| value[key].as_f64().ok_or(format!("a result without {key}"));
        groups.entry((text("name"), text("setting"))).or_default().push((number("edges")?, number("f1")?));
    }
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, _), points) in groups {
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        lines
            .entry(name)
            .or_default()
            .push((mean(|point| point.0).max(1.0).ln(), 100.0 * mean(|point| point.1)));
    }
    let all: Vec<(f64, f64)> = lines.values().flatten().copied().collect();
    if all.is_empty() {
        return Err("no results to plot".into());
    }
    let most = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    let least = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
    let (x_end, y_start) =
        (most(|point| point.0).ceil().max(1.0), (least(|point| point.1) / 10.0).floor() * 10.0);
    let x = |value: f64| left + value / x_end * (width - left - right);
    let y = |value: f64| top + (100.0 - value) / (100.0 - y_start).max(1.0) * (height - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for tick in 0..=x_end as usize {
        let at = x(tick as f64);
        svg += &format!(
            "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>\n",
            height - bottom,
            height - bottom + 16.0
        );
    }
    let mut tick = y_start;
    while tick <= 100.0 {
        let at = y(tick);
        svg += &format!(
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>\n",
            width - right,
            left - 6.0,
            at + 4.0
        );
        tick += 10.0;
    }
    svg += &format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">ln(edges)</text>\n<text x=\"16\" y=\"{:.1}\" transform=\"rotate(-90 16 {:.1})\" text-anchor=\"middle\">macro F1, %</text>\n",
        (left + width - right) / 2.0,
        height - 12.0,
        (top + height - bottom) / 2.0,
        (top + height - bottom) / 2.0
    );
    // Dashes tell the lines apart without colour; names stand at their ends, moved apart.
    let dashes = ["", "6 3", "2 2", "8 3 2 3", "12 4"];
    let colours = ["#1b6ca8", "#c1440e", "#2e7d32", "#6a3d9a", "#8d6e00", "#333333", "#00838f", "#ad1457"];
    let mut ends = Vec::new();
    for (at, (name, points)) in lines.iter_mut().enumerate() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let path: Vec<String> = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let colour = colours[at % colours.len()];
        svg += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{}\"/>\n",
            path.join(" "),
            dashes[at % dashes.len()]
        );
        for (a, b) in points.iter() {
            svg += &format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>\n", x(*a), y(*b));
        }
        if let Some(end) = points.last() {
            ends.push((y(end.1), name.clone(), colour));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = top;
    for (at, name, colour) in ends {
        free = free.max(at) + 14.0;
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>\n",
            width - right + 10.0,
            free - 10.0
        );
    }
    Ok(svg + "</svg>\n")
}
