//! A film's neighbourhood: what it is linked to, what those are kinds of, and films that share the rare
//! ones; as text and as a picture (SVG, PNG).
//!
//! The picture reads from left to right: the film, its entities by relation, and on the right what they
//! are kinds of and the films that share them. Derived edges are dashed.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{EntityId, Graph, GraphError, Kind, Relation};
use crate::artifact::write_bytes;
use crate::eval::plots::{COLOURS, register_fonts};

/// How much of a neighbourhood is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShowConfig {
    /// Entities of one relation, at most.
    pub max_entities: usize,
    /// Parents by is-a, at most.
    pub max_parents: usize,
    /// Films that share entities, at most.
    pub max_films: usize,
}

impl Default for ShowConfig {
    fn default() -> Self {
        Self { max_entities: 12, max_parents: 12, max_films: 8 }
    }
}

/// Entities with more films than this are not followed to other films.
const MAX_FOLLOWED: u32 = 2_000;

/// An entity of the film.
#[derive(Debug, Clone, PartialEq)]
pub struct Linked {
    /// How it is linked.
    pub relation: Relation,
    /// The entity.
    pub id: EntityId,
    /// Its name.
    pub name: String,
    /// Whether the edge was derived from text.
    pub derived: bool,
    /// Number of films it is linked to.
    pub n_films: u32,
}

/// Something that entities of the film are kinds of.
#[derive(Debug, Clone, PartialEq)]
pub struct Above {
    /// Its name.
    pub name: String,
    /// The entities below it, by their place in the list.
    pub from: Vec<usize>,
}

/// A film that shares rare entities.
#[derive(Debug, Clone, PartialEq)]
pub struct Related {
    /// Its number.
    pub film: u32,
    /// Title and year.
    pub name: String,
    /// What is shared, by the place in the list of entities.
    pub shared: Vec<usize>,
}

/// What is around a film.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbourhood {
    /// Title and year.
    pub name: String,
    /// Its entities, by relation; the rarest of each where there are too many.
    pub entities: Vec<Linked>,
    /// Entities left out.
    pub n_more: usize,
    /// What they are kinds of, those of the most entities first.
    pub above: Vec<Above>,
    /// Films that share rare entities, the most first.
    pub related: Vec<Related>,
}

/// Title and year of a film.
pub fn film_name(graph: &Graph, film: u32) -> String {
    let title = graph.name(EntityId(film));
    match graph.edges(film, Relation::Year).next() {
        Some((year, _)) => format!("{title} ({})", graph.name(year)),
        None => title.to_owned(),
    }
}

impl Neighbourhood {
    /// Collects what is around film number `film`.
    pub fn of(graph: &Graph, film: u32, config: &ShowConfig) -> Self {
        let mut entities = Vec::new();
        let mut n_more = 0;
        for relation in Relation::ALL {
            if relation == Relation::Year {
                // It stands in the title already, and its decade follows.
                continue;
            }
            let mut linked: Vec<Linked> = graph
                .edges(film, relation)
                .map(|(id, derived)| Linked {
                    relation,
                    id,
                    name: graph.name(id).to_owned(),
                    derived,
                    n_films: graph.n_films_of(id),
                })
                .collect();
            if linked.len() > config.max_entities {
                n_more += linked.len() - config.max_entities;
                if relation == Relation::Keyword {
                    linked.sort_by_key(|linked| linked.n_films);
                }
                linked.truncate(config.max_entities);
            }
            entities.extend(linked);
        }
        let above = above(graph, &entities, config.max_parents);
        let related = related(graph, film, &entities, config.max_films);
        Self { name: film_name(graph, film), entities, n_more, above, related }
    }

    /// The picture as SVG.
    ///
    /// # Errors
    /// [`GraphError::Drawing`].
    pub fn to_svg(&self) -> Result<String, GraphError> {
        let layout = Layout::of(self);
        let mut svg = String::new();
        layout.draw(&SVGBackend::with_string(&mut svg, layout.size).into_drawing_area()).map_err(drawing)?;
        Ok(svg)
    }

    /// Writes the picture to `path`, as PNG if it ends in `.png`, else as SVG.
    ///
    /// # Errors
    /// [`GraphError::Drawing`] or [`GraphError::Artifact`].
    pub fn write(&self, path: &Path) -> Result<(), GraphError> {
        if path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("png")) {
            return Ok(write_bytes(path, self.to_svg()?.as_bytes())?);
        }
        let layout = Layout::of(self);
        let (width, height) = layout.size;
        let mut pixels = vec![0_u8; (width * height * 3) as usize];
        layout
            .draw(&BitMapBackend::with_buffer(&mut pixels, layout.size).into_drawing_area())
            .map_err(drawing)?;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).map_err(drawing)?;
        Ok(write_bytes(path, &bytes)?)
    }
}

fn drawing(error: impl fmt::Display) -> GraphError {
    GraphError::Drawing(error.to_string())
}

/// Ancestors of the entities, those of more entities and then the rarer ones first.
fn above(graph: &Graph, entities: &[Linked], max: usize) -> Vec<Above> {
    let mut found: HashMap<EntityId, Vec<usize>> = HashMap::new();
    for (at, linked) in entities.iter().enumerate() {
        // A place's country and the like are known from the entity; kinds are what is worth showing.
        for id in graph.ancestors(linked.id) {
            let is_shown = entities.iter().any(|other| other.id == id && other.relation == Relation::Decade);
            let from = found.entry(id).or_default();
            if !is_shown && !from.contains(&at) {
                from.push(at);
            }
        }
    }
    let mut found: Vec<(EntityId, Vec<usize>)> =
        found.into_iter().filter(|(_, from)| !from.is_empty()).collect();
    found.sort_by_key(|(id, from)| (std::cmp::Reverse(from.len()), graph.kind(*id) != Kind::Genre, *id));
    found.truncate(max);
    found.into_iter().map(|(id, from)| Above { name: graph.name(id).to_owned(), from }).collect()
}

fn related(graph: &Graph, film: u32, entities: &[Linked], max: usize) -> Vec<Related> {
    let mut shared: HashMap<u32, (f64, Vec<usize>)> = HashMap::new();
    for (at, linked) in entities.iter().enumerate() {
        // Hardly any two films are alike for their language or decade.
        let is_broad = matches!(
            linked.relation,
            Relation::Genre | Relation::Country | Relation::Language | Relation::Decade | Relation::Period
        );
        if is_broad || linked.n_films > MAX_FOLLOWED {
            continue;
        }
        let weight = (graph.n_films() as f64 / f64::from(linked.n_films)).ln();
        let mut relations = vec![linked.relation];
        if graph.kind(linked.id) == Kind::Person {
            relations = vec![Relation::Actor, Relation::Director, Relation::Mentions];
        }
        for relation in relations {
            for other in graph.films_of(linked.id, relation).filter(|&other| other != film) {
                let (score, from) = shared.entry(other).or_default();
                if !from.contains(&at) {
                    *score += weight;
                    from.push(at);
                }
            }
        }
    }
    let mut shared: Vec<(u32, (f64, Vec<usize>))> = shared.into_iter().collect();
    shared.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(&b.0)));
    shared.truncate(max);
    shared
        .into_iter()
        .map(|(film, (_, shared))| Related { film, name: film_name(graph, film), shared })
        .collect()
}

impl fmt::Display for Neighbourhood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        let name = |at: &usize| self.entities[*at].name.as_str();
        for run in self.entities.chunk_by(|a, b| a.relation == b.relation) {
            let names: Vec<String> = run
                .iter()
                .map(|linked| {
                    format!("{}{} ({})", linked.name, if linked.derived { "*" } else { "" }, linked.n_films)
                })
                .collect();
            writeln!(f, "  {:<10} {}", run[0].relation.name(), names.join(", "))?;
        }
        if self.n_more > 0 {
            writeln!(f, "  and {} more", self.n_more)?;
        }
        if !self.above.is_empty() {
            writeln!(f, "kinds of")?;
        }
        for above in &self.above {
            let from: Vec<&str> = above.from.iter().map(name).collect();
            writeln!(f, "  {}: {}", above.name, from.join(", "))?;
        }
        if !self.related.is_empty() {
            writeln!(f, "films that share the rarest of these")?;
        }
        for related in &self.related {
            let shared: Vec<&str> = related.shared.iter().map(name).collect();
            writeln!(f, "  {}: {}", related.name, shared.join(", "))?;
        }
        let has_derived = self.entities.iter().any(|linked| linked.derived);
        let star = if has_derived { "; * derived from text" } else { "" };
        writeln!(f, "in brackets: number of films{star}")
    }
}

const FONT: &str = "sans-serif";
const ROW: i32 = 27;
const TOP: i32 = 64;
const BOTTOM: i32 = 44;
/// Left edges of the three columns, and the width of their boxes.
const FILM_X: i32 = 24;
const FILM_WIDTH: i32 = 210;
const ENTITY_X: i32 = 400;
const ENTITY_WIDTH: i32 = 270;
const RIGHT_X: i32 = 890;
const RIGHT_WIDTH: i32 = 330;
const WIDTH: i32 = RIGHT_X + RIGHT_WIDTH + 24;

/// A box on the right.
struct Right<'a> {
    name: &'a str,
    from: &'a [usize],
    is_film: bool,
    y: i32,
}

struct Layout<'a> {
    around: &'a Neighbourhood,
    size: (u32, u32),
    /// Middle of each entity's box.
    entity_y: Vec<i32>,
    right: Vec<Right<'a>>,
    film_y: i32,
}

impl<'a> Layout<'a> {
    fn of(around: &'a Neighbourhood) -> Self {
        let mut entity_y = Vec::new();
        let mut y = TOP;
        for (at, linked) in around.entities.iter().enumerate() {
            if at > 0 && around.entities[at - 1].relation != linked.relation {
                y += 12;
            }
            entity_y.push(y + ROW / 2);
            y += ROW;
        }
        let left_height = y - TOP;
        let mean = |from: &[usize]| {
            from.iter().map(|&at| f64::from(entity_y[at])).sum::<f64>() / from.len().max(1) as f64
        };
        let mut right: Vec<Right<'a>> = around
            .above
            .iter()
            .map(|above| Right { name: &above.name, from: &above.from, is_film: false, y: 0 })
            .collect();
        right.extend(around.related.iter().map(|related| Right {
            name: &related.name,
            from: &related.shared,
            is_film: true,
            y: 0,
        }));
        // Each beside what it hangs on, so that few lines cross.
        right.sort_by(|a, b| mean(a.from).total_cmp(&mean(b.from)));
        let right_height = right.len() as i32 * (ROW + 4);
        let height = left_height.max(right_height).max(4 * ROW);
        let shift = (height - left_height) / 2;
        entity_y.iter_mut().for_each(|y| *y += shift);
        let gap = if right.is_empty() { 0 } else { height / right.len() as i32 };
        let gap = gap.min(48);
        let first = TOP + (height - gap * right.len() as i32) / 2;
        for (at, right) in right.iter_mut().enumerate() {
            right.y = first + gap * at as i32 + gap / 2;
        }
        Self {
            around,
            size: (WIDTH as u32, (TOP + height + BOTTOM) as u32),
            entity_y,
            right,
            film_y: TOP + height / 2,
        }
    }

    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        register_fonts();
        area.fill(&WHITE)?;
        self.draw_headings(area)?;
        for (linked, &y) in self.around.entities.iter().zip(&self.entity_y) {
            let (from, to) = ((FILM_X + FILM_WIDTH, self.film_y), (ENTITY_X, y));
            draw_curve(area, from, to, colour_of(linked.relation), linked.derived)?;
        }
        for right in &self.right {
            let grey = if right.is_film { RGBColor(150, 150, 150) } else { RGBColor(90, 130, 90) };
            for &at in right.from {
                draw_curve(
                    area,
                    (ENTITY_X + ENTITY_WIDTH, self.entity_y[at]),
                    (RIGHT_X, right.y),
                    grey,
                    false,
                )?;
            }
        }
        for (linked, &y) in self.around.entities.iter().zip(&self.entity_y) {
            let colour = colour_of(linked.relation);
            draw_box(area, (ENTITY_X, y), ENTITY_WIDTH, colour, false)?;
            let count = linked.n_films.to_string();
            let room = ENTITY_WIDTH - 24 - 8 * count.len() as i32;
            draw_text(
                area,
                &fitted(area, &linked.name, 14, room)?,
                14,
                (ENTITY_X + 8, y),
                HPos::Left,
                BLACK,
            )?;
            let grey = RGBColor(110, 110, 110);
            draw_text(area, &count, 11, (ENTITY_X + ENTITY_WIDTH - 6, y), HPos::Right, grey)?;
        }
        // Names of relations stand left of the first entity of each.
        let mut last = None;
        for (linked, &y) in self.around.entities.iter().zip(&self.entity_y) {
            if last != Some(linked.relation) {
                let name = linked.relation.name();
                let (width, _) =
                    area.estimate_text_size(name, &(FONT, 12).into_font().into_text_style(area))?;
                let right = ENTITY_X - 8;
                let back =
                    Rectangle::new([(right - width as i32 - 3, y - 8), (right + 2, y + 7)], WHITE.filled());
                area.draw(&back)?;
                draw_text(area, name, 12, (right, y), HPos::Right, colour_of(linked.relation))?;
            }
            last = Some(linked.relation);
        }
        for right in &self.right {
            let colour = if right.is_film { BLACK } else { RGBColor(60, 110, 60) };
            draw_box(area, (RIGHT_X, right.y), RIGHT_WIDTH, colour, right.is_film)?;
            let name = fitted(area, right.name, 14, RIGHT_WIDTH - 16)?;
            draw_text(area, &name, 14, (RIGHT_X + 8, right.y), HPos::Left, BLACK)?;
        }
        self.draw_film(area)
    }

    fn draw_headings<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let grey = RGBColor(90, 90, 90);
        let more = match self.around.n_more {
            0 => String::new(),
            n => format!(", and {n} more"),
        };
        let entities = format!("linked to (number of films){more}");
        draw_text(area, "film", 14, (FILM_X, 30), HPos::Left, grey)?;
        draw_text(area, &entities, 14, (ENTITY_X, 30), HPos::Left, grey)?;
        let heading = "green: kind of; filled: films sharing rare entities";
        draw_text(area, heading, 14, (RIGHT_X, 30), HPos::Left, grey)?;
        let bottom = self.size.1 as i32 - 20;
        let legend = "solid: from the catalogue   dashed: derived from text";
        draw_text(area, legend, 12, (FILM_X, bottom), HPos::Left, grey)
    }

    fn draw_film<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let lines = wrapped(area, &self.around.name, 17, FILM_WIDTH - 20, 4)?;
        let half = lines.len() as i32 * 11 + 12;
        let corners = [(FILM_X, self.film_y - half), (FILM_X + FILM_WIDTH, self.film_y + half)];
        area.draw(&Rectangle::new(corners, RGBColor(35, 45, 60).filled()))?;
        for (at, line) in lines.iter().enumerate() {
            let y = self.film_y + (2 * at as i32 + 1 - lines.len() as i32) * 11;
            draw_text(area, line, 17, (FILM_X + FILM_WIDTH / 2, y), HPos::Center, WHITE)?;
        }
        Ok(())
    }
}

/// Colours of the relations: a few groups, so that each can be told apart.
fn colour_of(relation: Relation) -> RGBColor {
    match relation {
        Relation::Genre => COLOURS[6],
        Relation::Keyword => COLOURS[3],
        Relation::Actor | Relation::Director | Relation::Mentions => COLOURS[5],
        Relation::Country | Relation::Language | Relation::Place => COLOURS[4],
        Relation::Company | Relation::Collection => COLOURS[7],
        Relation::Year | Relation::Decade | Relation::Period => RGBColor(176, 118, 0),
    }
}

fn draw_text<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    text: &str,
    size: i32,
    at: (i32, i32),
    side: HPos,
    colour: RGBColor,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style = (FONT, size).into_font().color(&colour).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))
}

/// A box with its middle at the height given, white or (a film) light grey inside.
fn draw_box<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (x, y): (i32, i32),
    width: i32,
    colour: RGBColor,
    is_film: bool,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let corners = [(x, y - 11), (x + width, y + 11)];
    let inside = if is_film { RGBColor(228, 231, 236) } else { WHITE };
    area.draw(&Rectangle::new(corners, inside.filled()))?;
    area.draw(&Rectangle::new(corners, colour.stroke_width(1)))
}

/// A curve that leaves and arrives level.
fn draw_curve<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    from: (i32, i32),
    to: (i32, i32),
    colour: RGBColor,
    is_dashed: bool,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    const N: i32 = 48;
    let point = |step: i32| {
        let t = f64::from(step) / f64::from(N);
        let x = f64::from(from.0) + t * f64::from(to.0 - from.0);
        let y = f64::from(from.1) + t * t * (3.0 - 2.0 * t) * f64::from(to.1 - from.1);
        (x.round() as i32, y.round() as i32)
    };
    let style = colour.mix(0.75).stroke_width(1);
    if !is_dashed {
        return area.draw(&PathElement::new((0..=N).map(point).collect::<Vec<_>>(), style));
    }
    for start in (0..N).step_by(4) {
        area.draw(&PathElement::new((start..=start + 2).map(point).collect::<Vec<_>>(), style))?;
    }
    Ok(())
}

/// The text, cut with an ellipsis if it is wider than the room.
fn fitted<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    text: &str,
    size: i32,
    room: i32,
) -> Result<String, DrawingAreaErrorKind<B::ErrorType>> {
    let style = (FONT, size).into_font().into_text_style(area);
    let mut text = text.to_owned();
    let mut is_cut = false;
    loop {
        let shown = if is_cut { format!("{}…", text.trim_end()) } else { text.clone() };
        let (width, _) = area.estimate_text_size(&shown, &style)?;
        if width as i32 <= room || text.is_empty() {
            return Ok(shown);
        }
        text.pop();
        is_cut = true;
    }
}

/// The text in lines that fit; the last one is cut if there are too many.
fn wrapped<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    text: &str,
    size: i32,
    room: i32,
    max_lines: usize,
) -> Result<Vec<String>, DrawingAreaErrorKind<B::ErrorType>> {
    let style = (FONT, size).into_font().into_text_style(area);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if let Some(last) = lines.last_mut() {
            let longer = format!("{last} {word}");
            let fits = area.estimate_text_size(&longer, &style)?.0 as i32 <= room;
            if fits || lines.len() == max_lines {
                *lines.last_mut().unwrap_or(&mut String::new()) = longer;
                continue;
            }
        }
        lines.push(word.to_owned());
    }
    lines.iter().map(|line| fitted(area, line, size, room)).collect()
}
