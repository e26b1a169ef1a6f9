//! The whole graph for other programs: N-Triples, Turtle, GraphML.

use std::io::{self, Write};
use std::path::Path;

use oxttl::{NTriplesSerializer, TurtleSerializer};

use super::{EntityId, Graph, GraphError, Kind, Relation, rdf};
use crate::artifact::{ArtifactError, write_atomically};
use crate::progress::{Interrupted, Report, tell};

/// A format to export to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// RDF, one triple a line.
    NTriples,
    /// RDF with prefixes.
    Turtle,
    /// GraphML, as Gephi, yEd, igraph and NetworkX read it.
    GraphMl,
}

impl ExportFormat {
    /// The format by the usual ending of a file.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "nt" => Some(Self::NTriples),
            "ttl" => Some(Self::Turtle),
            "graphml" => Some(Self::GraphMl),
            _ => None,
        }
    }
}

const STEP: &str = "exporting the graph";
/// Triples or elements between two reports.
const REPORT_EVERY: usize = 1 << 14;

enum Failure {
    Io(io::Error),
    Interrupted(Interrupted),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes the graph to the file at `path`, whole or not at all.
///
/// # Errors
/// [`GraphError::Artifact`] if it cannot be written, [`GraphError::Interrupted`].
pub fn export(
    graph: &Graph,
    format: ExportFormat,
    path: &Path,
    report: &mut Report<'_>,
) -> Result<(), GraphError> {
    write_atomically(path, |out| {
        write(graph, format, out, report).map_err(|failure| match failure {
            Failure::Io(error) => ArtifactError::io("write", path)(error).into(),
            Failure::Interrupted(interrupted) => GraphError::Interrupted(interrupted),
        })
    })
}

fn write(
    graph: &Graph,
    format: ExportFormat,
    out: &mut dyn Write,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let mut n_done = 0;
    let mut count = || {
        n_done += 1;
        if n_done % REPORT_EVERY == 0 {
            return tell(report, STEP, n_done, 0, "").map_err(Failure::Interrupted);
        }
        Ok(())
    };
    match format {
        ExportFormat::NTriples => {
            let mut serializer = NTriplesSerializer::new().for_writer(out);
            rdf::for_each_triple(graph, |triple| {
                serializer.serialize_triple(&triple)?;
                count()
            })?;
            serializer.finish();
        }
        ExportFormat::Turtle => {
            let mut serializer = TurtleSerializer::new();
            for (name, iri) in rdf::prefixes() {
                serializer = serializer.with_prefix(name, iri).map_err(io::Error::other)?;
            }
            let mut serializer = serializer.for_writer(out);
            rdf::for_each_triple(graph, |triple| {
                serializer.serialize_triple(&triple)?;
                count()
            })?;
            serializer.finish()?;
        }
        ExportFormat::GraphMl => write_graphml(graph, out, &mut count)?,
    }
    Ok(())
}

fn write_graphml(
    graph: &Graph,
    out: &mut dyn Write,
    count: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    out.write_all(
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n\
        <key id=\"kind\" for=\"node\" attr.name=\"kind\" attr.type=\"string\"/>\n\
        <key id=\"label\" for=\"node\" attr.name=\"label\" attr.type=\"string\"/>\n\
        <key id=\"film_id\" for=\"node\" attr.name=\"film_id\" attr.type=\"string\"/>\n\
        <key id=\"imdb\" for=\"node\" attr.name=\"imdb\" attr.type=\"string\"/>\n\
        <key id=\"relation\" for=\"edge\" attr.name=\"relation\" attr.type=\"string\"/>\n\
        <key id=\"derived\" for=\"edge\" attr.name=\"derived\" attr.type=\"boolean\">\
        <default>false</default></key>\n\
        <graph id=\"titlecard\" edgedefault=\"directed\">\n",
    )?;
    let entities = || Kind::ALL.into_iter().flat_map(|kind| graph.entities(kind));
    for id in entities() {
        let kind = graph.kind(id).name();
        write!(out, "<node id=\"n{}\"><data key=\"kind\">{kind}</data><data key=\"label\">", id.0)?;
        write!(out, "{}</data>", escaped(graph.name(id)))?;
        if let Some(film) = graph.film_number(id) {
            write!(out, "<data key=\"film_id\">{}</data>", escaped(graph.film_id(film)))?;
            if let Some(number) = graph.imdb(film) {
                write!(out, "<data key=\"imdb\">tt{number:07}</data>")?;
            }
        }
        out.write_all(b"</node>\n")?;
        count()?;
    }
    let mut edge = |from: EntityId, to: EntityId, relation: &str, derived: bool| -> Result<(), Failure> {
        write!(
            out,
            "<edge source=\"n{}\" target=\"n{}\"><data key=\"relation\">{relation}</data>",
            from.0, to.0
        )?;
        if derived {
            out.write_all(b"<data key=\"derived\">true</data>")?;
        }
        out.write_all(b"</edge>\n")?;
        count()
    };
    for id in entities() {
        if let Some(film) = graph.film_number(id) {
            for relation in Relation::ALL {
                for (target, derived) in graph.edges(film, relation) {
                    edge(id, target, relation.name(), derived)?;
                }
            }
        }
        for parent in graph.parents(id) {
            edge(id, parent, "is_a", false)?;
        }
    }
    Ok(out.write_all(b"</graph>\n</graphml>\n")?)
}

/// Text as XML holds it; characters that XML 1.0 has no way to write become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", c as u32)),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
