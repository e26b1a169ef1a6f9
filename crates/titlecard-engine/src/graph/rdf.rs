//! The graph as RDF: the names of its things, and all its triples.
//!
//! An entity is `urn:titlecard:KIND:KEY` with `_` for spaces (`urn:titlecard:keyword:time_travel`), a
//! film `urn:titlecard:film:ID`. An edge is `tc:RELATION`, a derived one `tc:derived_RELATION`. Besides
//! `tc:is_a` (direct), `rdf:type`, `rdfs:label`, `tc:id` (films), `rdf:value` (years, as integers) and
//! `owl:sameAs` (IMDb, Wikipedia).

use std::fmt::Write as _;

use oxrdf::vocab::{rdf, rdfs};
use oxrdf::{Literal, NamedNode, NamedNodeRef, Term, Triple};

use super::{EntityId, Graph, Kind, Relation};

/// What all names begin with.
pub const BASE: &str = "urn:titlecard:";
const SAME_AS: &str = "http://www.w3.org/2002/07/owl#sameAs";
const IMDB: (&str, &str) = ("https://www.imdb.com/title/tt", "/");
const WIKIPEDIA: &str = "https://en.wikipedia.org/?curid=";

/// Prefixes that queries may use undeclared, and that Turtle is written with.
pub fn prefixes() -> Vec<(String, String)> {
    let mut prefixes = vec![
        ("tc".to_owned(), BASE.to_owned()),
        ("rdf".to_owned(), "http://www.w3.org/1999/02/22-rdf-syntax-ns#".to_owned()),
        ("rdfs".to_owned(), "http://www.w3.org/2000/01/rdf-schema#".to_owned()),
        ("owl".to_owned(), "http://www.w3.org/2002/07/owl#".to_owned()),
        ("xsd".to_owned(), "http://www.w3.org/2001/XMLSchema#".to_owned()),
    ];
    prefixes.extend(Kind::ALL.iter().map(|kind| (kind.name().to_owned(), format!("{BASE}{}:", kind.name()))));
    prefixes
}

/// A property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Property {
    Type,
    Label,
    Id,
    Value,
    SameAs,
    IsA,
    Edge(Relation, bool),
}

impl Property {
    /// All properties.
    pub(super) fn all() -> impl Iterator<Item = Self> + Clone {
        let edges = Relation::ALL
            .into_iter()
            .flat_map(|relation| [false, true].map(|derived| Self::Edge(relation, derived)));
        [Self::Type, Self::Label, Self::Id, Self::Value, Self::SameAs, Self::IsA].into_iter().chain(edges)
    }

    pub(super) fn node(self) -> NamedNode {
        match self {
            Self::Type => rdf::TYPE.into_owned(),
            Self::Label => rdfs::LABEL.into_owned(),
            Self::Value => rdf::VALUE.into_owned(),
            Self::SameAs => NamedNodeRef::new_unchecked(SAME_AS).into_owned(),
            Self::Id => NamedNode::new_unchecked(format!("{BASE}id")),
            Self::IsA => NamedNode::new_unchecked(format!("{BASE}is_a")),
            Self::Edge(relation, derived) => {
                let mark = if derived { "derived_" } else { "" };
                NamedNode::new_unchecked(format!("{BASE}{mark}{}", relation.name()))
            }
        }
    }

    pub(super) fn of(iri: &str) -> Option<Self> {
        Self::all().find(|property| property.node().as_str() == iri)
    }
}

/// The class of a kind, `urn:titlecard:Keyword`.
pub(super) fn class(kind: Kind) -> NamedNode {
    let name = kind.name();
    NamedNode::new_unchecked(format!("{BASE}{}{}", name[..1].to_uppercase(), &name[1..]))
}

pub(super) fn kind_of_class(iri: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|&kind| class(kind).as_str() == iri)
}

/// The name of an entity.
pub fn iri(graph: &Graph, id: EntityId) -> String {
    let kind = graph.kind(id);
    let local = graph.film_number(id).map_or_else(|| graph.key(id), |film| graph.film_id(film));
    let mut iri = format!("{BASE}{}:", kind.name());
    for c in local.chars() {
        if c == ' ' {
            iri.push('_');
        } else if c.is_ascii_alphanumeric() || c == '-' || is_plain_letter(c) {
            iri.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(iri, "%{byte:02X}");
            }
        }
    }
    iri
}

/// Letters that an IRI may hold as they are.
fn is_plain_letter(c: char) -> bool {
    c.is_alphabetic()
        && matches!(c, '\u{a0}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}')
}

/// The entity of a name, if it is one of this graph.
pub fn entity_of(graph: &Graph, name: &str) -> Option<EntityId> {
    let (kind, local) = name.strip_prefix(BASE)?.split_once(':')?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    let mut bytes = Vec::with_capacity(local.len());
    let mut rest = local.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            b'_' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    let local = String::from_utf8(bytes).ok()?;
    let id = if kind == Kind::Film {
        EntityId(graph.film_with_id(&local)?)
    } else {
        graph.find_key(kind, &local)?
    };
    // Other ways to write the same name are other names.
    (iri(graph, id) == name).then_some(id)
}

/// Objects of a property that are no entities: label, id, value, links, class.
pub(super) fn values(graph: &Graph, id: EntityId, property: Property) -> Vec<Term> {
    let film = graph.film_number(id);
    match property {
        Property::Type => vec![class(graph.kind(id)).into()],
        Property::Label => vec![Literal::new_simple_literal(graph.name(id)).into()],
        Property::Id => {
            film.map(|film| Literal::new_simple_literal(graph.film_id(film)).into()).into_iter().collect()
        }
        Property::Value if graph.kind(id) == Kind::Year => {
            graph.key(id).parse::<i64>().map(|year| Literal::from(year).into()).into_iter().collect()
        }
        Property::SameAs => film.map(|film| links(graph, film)).unwrap_or_default(),
        Property::Value | Property::IsA | Property::Edge(..) => Vec::new(),
    }
}

fn links(graph: &Graph, film: u32) -> Vec<Term> {
    let imdb = graph.imdb(film).map(|number| format!("{}{number:07}{}", IMDB.0, IMDB.1));
    let wikipedia = graph.wikipedia(film).map(|page| format!("{WIKIPEDIA}{page}"));
    [imdb, wikipedia].into_iter().flatten().map(|link| NamedNode::new_unchecked(link).into()).collect()
}

/// Calls `with` for every triple, in a fixed order, until it fails.
pub(super) fn for_each_triple<E>(
    graph: &Graph,
    mut with: impl FnMut(Triple) -> Result<(), E>,
) -> Result<(), E> {
    let entity = |id| NamedNode::new_unchecked(iri(graph, id));
    for id in Kind::ALL.into_iter().flat_map(|kind| graph.entities(kind)) {
        let subject = entity(id);
        for property in Property::all() {
            let node = property.node();
            match property {
                Property::Edge(relation, derived) => {
                    let Some(film) = graph.film_number(id) else { continue };
                    for (target, _) in graph.edges(film, relation).filter(|edge| edge.1 == derived) {
                        with(Triple::new(subject.clone(), node.clone(), entity(target)))?;
                    }
                }
                Property::IsA => {
                    for parent in graph.parents(id) {
                        with(Triple::new(subject.clone(), node.clone(), entity(parent)))?;
                    }
                }
                _ => {
                    for value in values(graph, id, property) {
                        with(Triple::new(subject.clone(), node.clone(), value))?;
                    }
                }
            }
        }
    }
    Ok(())
}
