//! Precision@K and success@K of every method as pictures, SVG and PNG.
//!
//! Methods differ by marker and by the dashes of the line as well as by colour, so the plots can be
//! read in grey. The font is inside the program: a picture looks the same on every machine.

use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::register_font;

use super::report::EvalReport;
use crate::artifact::{ArtifactError, write_bytes};

/// Why a plot could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The file cannot be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The drawing library refused.
    #[error("cannot draw the plot: {0}")]
    Drawing(String),
    /// There is nothing to draw.
    #[error("the report has no method to plot")]
    Empty,
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";
/// Colours that stay apart with the common colour-vision deficiencies (Okabe and Ito, 2008).
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
];

/// One line of a plot.
struct Series<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

/// Writes `precision_at_k` and `success_at_k` as `.svg` and `.png` into `folder`, with `prefix` before
/// the names, and returns the files.
///
/// # Errors
/// [`PlotError`].
pub fn write_plots(report: &EvalReport, folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, PlotError> {
    if report.methods.is_empty() {
        return Err(PlotError::Empty);
    }
    let lines = |values: &dyn Fn(usize) -> Vec<(usize, f64)>| -> Vec<Series<'_>> {
        report
            .methods
            .iter()
            .enumerate()
            .map(|(at, row)| Series {
                name: &row.method,
                points: values(at).into_iter().map(|(k, value)| (k as f64, value)).collect(),
            })
            .collect()
    };
    let precision = lines(&|at| report.methods[at].metrics.precision.clone());
    let success = lines(&|at| report.methods[at].metrics.success.clone());
    let subtitle = format!(
        "{}; {} queries, {} candidates ({})",
        report.task,
        report.n_queries(),
        report.n_candidates,
        report.candidates
    );
    let mut files = Vec::new();
    for (name, title, series, ceiling) in
        [("precision_at_k", "Precision@K", &precision, true), ("success_at_k", "Success@K", &success, false)]
    {
        let style = Style { x: "K", y: title, of_cutoffs: true };
        let plot = Plot { title, subtitle: &subtitle, series, ceiling, style };
        files.extend(plot.write_both(folder, &format!("{prefix}{name}"))?);
    }
    Ok(files)
}

/// A line of [`write_curves`].
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Draws curves over a common axis (losses by step) as `NAME.svg` and `NAME.png` in `folder`; returns the files.
///
/// - `axes`: what the horizontal and the vertical axis show.
///
/// # Errors
/// [`PlotError`]; [`PlotError::Empty`] if there is no point.
pub fn write_curves(
    folder: &Path,
    name: &str,
    title: &str,
    subtitle: &str,
    axes: (&str, &str),
    curves: &[Curve],
) -> Result<Vec<PathBuf>, PlotError> {
    if curves.iter().all(|curve| curve.points.is_empty()) {
        return Err(PlotError::Empty);
    }
    let series: Vec<Series<'_>> =
        curves.iter().map(|curve| Series { name: &curve.name, points: curve.points.clone() }).collect();
    let style = Style { x: axes.0, y: axes.1, of_cutoffs: false };
    Plot { title, subtitle, series: &series, ceiling: false, style }.write_both(folder, name)
}

/// What the axes show.
struct Style<'a> {
    x: &'a str,
    y: &'a str,
    /// Precision or success by cutoff: from 0 on, every point marked. Else the axis spans the values.
    of_cutoffs: bool,
}

/// Lines of more points than this have no markers.
const MAX_MARKED: usize = 30;

struct Plot<'a> {
    title: &'a str,
    subtitle: &'a str,
    series: &'a [Series<'a>],
    /// Draw `1 / K`, the most that Precision@K can be with one relevant title.
    ceiling: bool,
    style: Style<'a>,
}

impl Plot<'_> {
    fn write_both(&self, folder: &Path, name: &str) -> Result<Vec<PathBuf>, PlotError> {
        let svg = folder.join(format!("{name}.svg"));
        write_bytes(&svg, self.to_svg()?.as_bytes())?;
        let png = folder.join(format!("{name}.png"));
        self.write_png(&png)?;
        Ok(vec![svg, png])
    }

    /// Range of the horizontal and of the vertical axis.
    fn ranges(&self) -> (std::ops::Range<f64>, std::ops::Range<f64>) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let highest = points().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
        let last = points().map(|(x, _)| *x).fold(1.0, f64::max);
        if self.style.of_cutoffs {
            let top = if highest > 0.0 { (highest * 1.15).min(1.02) } else { 0.1 };
            return (0.0..last + 1.0, 0.0..top);
        }
        let lowest = points().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let margin = ((highest - lowest) * 0.06).max(1e-6);
        (0.0..last * 1.02, lowest - margin..highest + margin)
    }

    fn to_svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())?;
        Ok(svg)
    }

    fn write_png(&self, path: &Path) -> Result<(), PlotError> {
        let mut pixels = vec![0_u8; (SIZE.0 * SIZE.1 * 3) as usize];
        self.draw(&BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, SIZE.0, SIZE.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&pixels))
            .map_err(|error| PlotError::Drawing(error.to_string()))?;
        Ok(write_bytes(path, &bytes)?)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), PlotError> {
        self.try_draw(area).map_err(|error| PlotError::Drawing(error.to_string()))
    }

    fn try_draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        register_fonts();
        area.fill(&WHITE)?;
        let text = |size: i32| (FONT, size).into_font().color(&BLACK);
        area.draw_text(self.title, &text(26), (70, 12))?;
        area.draw_text(self.subtitle, &text(15), (70, 46))?;
        let (left, legend) = area.margin(72, 8, 8, 8).split_horizontally(660);

        let (across, upwards) = self.ranges();
        let (last, top) = (across.end - 1.0, upwards.end);
        let mut chart = ChartBuilder::on(&left)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(across, upwards)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(222, 222, 222))
            .x_desc(self.style.x)
            .y_desc(self.style.y)
            .x_labels(12)
            .x_label_formatter(&|k| format!("{k:.0}"))
            .y_label_formatter(&|value| format!("{value:.3}"))
            .label_style(text(15))
            .axis_desc_style(text(16))
            .draw()?;

        let mut legend_y = 24;
        if self.ceiling {
            let points: Vec<(f64, f64)> = (1..=(last as usize * 4))
                .map(|i| f64::from(i as u32) / 4.0)
                .map(|k| (k, 1.0 / k))
                .filter(|(k, y)| *y <= top && *k >= 1.0)
                .collect();
            chart.draw_series(DashedLineSeries::new(
                points,
                2,
                4,
                RGBColor(150, 150, 150).stroke_width(1),
            ))?;
            legend.draw(&DashedPathElement::new(
                [(8, legend_y), (48, legend_y)],
                2,
                4,
                RGBColor(150, 150, 150).stroke_width(1),
            ))?;
            legend.draw_text("ceiling 1/K", &text(14), (56, legend_y - 8))?;
            legend_y += 28;
        }
        for (at, series) in self.series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let (dash, gap) = DASHES[at % DASHES.len()];
            let stroke = colour.stroke_width(2);
            chart.draw_series(DashedLineSeries::new(series.points.iter().copied(), dash, gap, stroke))?;
            let marked = self.style.of_cutoffs || series.points.len() <= MAX_MARKED;
            for &(k, value) in series.points.iter().filter(|_| marked) {
                let place = chart.backend_coord(&(k, value));
                draw_marker(area, at, place, colour)?;
            }
            legend.draw(&DashedPathElement::new([(8, legend_y), (48, legend_y)], dash, gap, stroke))?;
            let (origin_x, origin_y) = legend.get_base_pixel();
            if marked {
                draw_marker(area, at, (origin_x + 28, origin_y + legend_y), colour)?;
            }
            legend.draw_text(series.name, &text(14), (56, legend_y - 8))?;
            legend_y += 28;
        }
        area.present()
    }
}

/// Length of dash and gap in pixels; a gap of 0 would not end, so "solid" is a gap of 1.
const DASHES: [(i32, i32); 4] = [(40, 1), (10, 5), (3, 4), (18, 6)];

/// Markers differ by shape, then by being hollow.
fn draw_marker<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    at: usize,
    (x, y): (i32, i32),
    colour: RGBColor,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style = if at % 8 < 4 { colour.filled() } else { colour.stroke_width(2) };
    // Hollow markers are white inside, so that the line does not run through them.
    let inside = if at % 8 < 4 { colour.filled() } else { WHITE.filled() };
    match at % 4 {
        0 => {
            area.draw(&Circle::new((x, y), 5, inside))?;
            area.draw(&Circle::new((x, y), 5, style))
        }
        1 => {
            let corners = [(x - 5, y - 5), (x + 5, y + 5)];
            area.draw(&Rectangle::new(corners, inside))?;
            area.draw(&Rectangle::new(corners, style))
        }
        2 => draw_outlined(area, &[(x, y - 7), (x + 6, y + 4), (x - 6, y + 4)], inside, style),
        _ => draw_outlined(area, &[(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)], inside, style),
    }
}

/// Fills a polygon, then draws its outline.
fn draw_outlined<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    corners: &[(i32, i32)],
    inside: ShapeStyle,
    outline: ShapeStyle,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.draw(&Polygon::new(corners.to_vec(), inside))?;
    let closed = [corners, &corners[..1]].concat();
    area.draw(&PathElement::new(closed, outline))
}

/// Makes the embedded font the one of all plots.
pub(crate) fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The bytes are part of the program; a test draws with them, so they are a font.
        let _ = register_font(FONT, FontStyle::Normal, include_bytes!("../../assets/DejaVuSans-latin.ttf"));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::report::MethodRow;

    fn report() -> EvalReport {
        let names = ["word vectors, mean", "word vectors, max-abs", "BM25", "regression", "hybrid", "sixth"];
        EvalReport {
            task: "known item".to_owned(),
            candidates: "film records".to_owned(),
            n_candidates: 440,
            split: "test".to_owned(),
            seed: 7,
            notes: Vec::new(),
            methods: names
                .iter()
                .enumerate()
                .map(|(at, name)| {
                    let ranks: Vec<f64> = (0..60).map(|i| f64::from(1 + i * (6 - at as u32) / 5)).collect();
                    MethodRow::new(name, &ranks, 1.0)
                })
                .collect(),
        }
    }

    #[test]
    fn plots_name_every_method_and_are_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_plots(&report(), folder.path(), "known_item_").unwrap();
        assert_eq!(files.len(), 4);
        let svg = std::fs::read_to_string(folder.path().join("known_item_precision_at_k.svg")).unwrap();
        for text in ["BM25", "hybrid", "Precision@K", "ceiling 1/K", "440 candidates"] {
            assert!(svg.contains(text), "{text}");
        }
        let png = std::fs::read(folder.path().join("known_item_success_at_k.png")).unwrap();
        let decoder = png::Decoder::new(std::io::Cursor::new(png));
        let mut reader = decoder.read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), SIZE);
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let dark = pixels.chunks_exact(3).filter(|pixel| pixel.iter().all(|&c| c < 60)).count();
        assert!(dark > 2_000, "text and axes are drawn: {dark} dark pixels");
    }

    #[test]
    fn drawing_twice_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let first = write_plots(&report(), folder.path(), "a_").unwrap();
        let second = write_plots(&report(), folder.path(), "b_").unwrap();
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
        }
    }

    #[test]
    fn curves_span_their_values() {
        let folder = tempfile::tempdir().unwrap();
        let falling = |name: &str, shift: f64| Curve {
            name: name.to_owned(),
            points: (0..200).map(|step| (f64::from(step), 10.0 / f64::from(step + 1) + shift)).collect(),
        };
        let curves = [falling("training", 2.0), falling("development", 2.2)];
        let axes = ("step", "loss");
        let files = write_curves(folder.path(), "loss", "Loss", "small model", axes, &curves).unwrap();
        assert_eq!(files.len(), 2);
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        for text in ["training", "development", "Loss", "step", "small model"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("ceiling"));
        let none = [Curve { name: "none".to_owned(), points: Vec::new() }];
        assert!(matches!(write_curves(folder.path(), "x", "", "", axes, &none), Err(PlotError::Empty)));
    }

    #[test]
    fn an_empty_report_is_refused() {
        let empty = EvalReport { methods: Vec::new(), ..report() };
        assert!(matches!(write_plots(&empty, Path::new("."), ""), Err(PlotError::Empty)));
    }
}
