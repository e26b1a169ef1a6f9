//! SPARQL over the mapped graph: Oxigraph's evaluator asks for triples by pattern, and every pattern is
//! answered from the records, so nothing is loaded and any query starts at once.

use std::iter::{empty, once};
use std::ops::ControlFlow;
use std::sync::Arc;

use oxrdf::{NamedNode, Term};
use serde::Serialize;
use spareval::{InternalQuad, QueryEvaluationError, QueryEvaluator, QueryResults, QueryableDataset};
use spargebra::SparqlParser;

use super::rdf::{self, Property};
use super::{EntityId, Graph, GraphError, Kind};
use crate::progress::Interrupted;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Value {
    /// `uri`, `literal` or `bnode`, as in SPARQL's JSON.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The IRI, or the text of a literal.
    pub value: String,
    /// Of an entity: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Datatype of a literal that is no plain string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datatype: Option<String>,
}

/// Answers a SPARQL query, row by row: `on_row` gets one value (or none) a variable, in the order of
/// `on_variables`, which is called once before. ASK gives one row of `answer`; CONSTRUCT and DESCRIBE
/// give `subject`, `predicate` and `object`. Prefixes of [`rdf::prefixes`] need no declaration.
///
/// `stop` is asked now and then, also where no row comes for long.
///
/// # Errors
/// [`GraphError::Sparql`] with the place and reason; [`GraphError::Interrupted`].
pub fn query(
    graph: &Graph,
    text: &str,
    stop: fn() -> bool,
    on_variables: &mut dyn FnMut(&[String]),
    on_row: &mut dyn FnMut(&[Option<Value>]) -> ControlFlow<()>,
) -> Result<(), GraphError> {
    let mut parser = SparqlParser::new();
    for (name, iri) in rdf::prefixes() {
        parser = parser.with_prefix(name, iri).map_err(|error| GraphError::Sparql(error.to_string()))?;
    }
    let query = parser.parse_query(text).map_err(|error| GraphError::Sparql(error.to_string()))?;
    let evaluator = QueryEvaluator::new();
    let results =
        evaluator.prepare(&query).execute(Dataset { graph, stop }).map_err(|error| fault(&error))?;
    let value = |term: &Term| value_of(graph, term);
    match results {
        QueryResults::Boolean(answer) => {
            on_variables(&["answer".to_owned()]);
            let _ = on_row(&[Some(value(&oxrdf::Literal::from(answer).into()))]);
        }
        QueryResults::Solutions(solutions) => {
            let variables = solutions.variables().to_vec();
            on_variables(&variables.iter().map(|variable| variable.as_str().to_owned()).collect::<Vec<_>>());
            for solution in solutions {
                let solution = solution.map_err(|error| fault(&error))?;
                let row: Vec<Option<Value>> =
                    variables.iter().map(|variable| solution.get(variable).map(value)).collect();
                if on_row(&row).is_break() {
                    break;
                }
            }
        }
        QueryResults::Graph(triples) => {
            on_variables(&["subject", "predicate", "object"].map(str::to_owned));
            for triple in triples {
                let triple = triple.map_err(|error| fault(&error))?;
                let terms = [triple.subject.into(), triple.predicate.into(), triple.object];
                if on_row(&terms.each_ref().map(|term| Some(value(term)))).is_break() {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn fault(error: &QueryEvaluationError) -> GraphError {
    if let QueryEvaluationError::Dataset(inner) = error
        && let Some(interrupted) = inner.downcast_ref::<Interrupted>()
    {
        return GraphError::Interrupted(*interrupted);
    }
    GraphError::Sparql(error.to_string())
}

fn value_of(graph: &Graph, term: &Term) -> Value {
    let plain = |kind, value: &str| Value { kind, value: value.to_owned(), name: None, datatype: None };
    match term {
        Term::NamedNode(node) => {
            let name = rdf::entity_of(graph, node.as_str()).map(|id| graph.name(id).to_owned());
            Value { name, ..plain("uri", node.as_str()) }
        }
        Term::BlankNode(node) => plain("bnode", node.as_str()),
        Term::Literal(literal) => {
            let datatype = (literal.datatype() != oxrdf::vocab::xsd::STRING)
                .then(|| literal.datatype().as_str().to_owned());
            Value { datatype, ..plain("literal", literal.value()) }
        }
    }
}

/// A term while a query runs: a number wherever the graph has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Cell {
    Entity(EntityId),
    Property(Property),
    Class(Kind),
    Other(Arc<Term>),
}

#[derive(Clone, Copy)]
struct Dataset<'a> {
    graph: &'a Graph,
    stop: fn() -> bool,
}

/// Subject, property and object.
type Found = (EntityId, Property, Cell);
type Cells<'a> = Box<dyn Iterator<Item = Found> + 'a>;

impl<'a> Dataset<'a> {
    /// Triples of one property.
    fn of_property(self, subject: Option<EntityId>, property: Property, object: Option<&Cell>) -> Cells<'a> {
        let found = move |(subject, object): (EntityId, Cell)| (subject, property, object);
        match (subject, object) {
            (Some(subject), object) => {
                let object = object.cloned();
                let all = self.objects(subject, property).map(move |object| (subject, object));
                Box::new(all.filter(move |row| object.as_ref().is_none_or(|o| *o == row.1)).map(found))
            }
            (None, Some(object)) => {
                let cell = object.clone();
                Box::new(self.subjects(property, object).map(move |subject| found((subject, cell.clone()))))
            }
            (None, None) => Box::new(self.bearers(property).flat_map(move |subject| {
                self.objects(subject, property).map(move |object| found((subject, object)))
            })),
        }
    }

    /// All that may have a property.
    fn bearers(self, property: Property) -> Box<dyn Iterator<Item = EntityId> + 'a> {
        match property {
            Property::Edge(..) | Property::Id | Property::SameAs => Box::new(self.graph.entities(Kind::Film)),
            Property::Value => Box::new(self.graph.entities(Kind::Year)),
            Property::Type | Property::Label | Property::IsA => {
                Box::new(Kind::ALL.into_iter().flat_map(move |kind| self.graph.entities(kind)))
            }
        }
    }

    fn objects(self, subject: EntityId, property: Property) -> Box<dyn Iterator<Item = Cell> + 'a> {
        match property {
            Property::Edge(relation, derived) => match self.graph.film_number(subject) {
                Some(film) => Box::new(
                    self.graph
                        .edges(film, relation)
                        .filter(move |edge| edge.1 == derived)
                        .map(|edge| Cell::Entity(edge.0)),
                ),
                None => Box::new(empty()),
            },
            Property::IsA => Box::new(self.graph.parents(subject).map(Cell::Entity)),
            Property::Type => Box::new(once(Cell::Class(self.graph.kind(subject)))),
            _ => Box::new(
                rdf::values(self.graph, subject, property).into_iter().map(move |term| self.cell(term)),
            ),
        }
    }

    fn subjects(self, property: Property, object: &Cell) -> Box<dyn Iterator<Item = EntityId> + 'a> {
        match (property, object) {
            (Property::Edge(relation, derived), Cell::Entity(id)) => Box::new(
                self.graph
                    .films_of(*id, relation)
                    .with_derived()
                    .filter(move |row| row.1 == derived)
                    .map(|row| EntityId(row.0)),
            ),
            (Property::IsA, Cell::Entity(id)) => Box::new(self.graph.children(*id)),
            (Property::Type, Cell::Class(kind)) => Box::new(self.graph.entities(*kind)),
            (Property::Label, Cell::Other(term)) => {
                let Term::Literal(label) = &**term else { return Box::new(empty()) };
                let name = label.value().to_owned();
                let films: Vec<u32> = self.graph.films_titled(&name).collect();
                let others = Kind::ALL.into_iter().skip(1);
                let others: Vec<EntityId> = others.filter_map(|kind| self.graph.find(kind, &name)).collect();
                let all = films.into_iter().map(EntityId).chain(others);
                let wanted = object.clone();
                Box::new(all.filter(move |&id| self.objects(id, property).any(|cell| cell == wanted)))
            }
            (Property::Id | Property::Value | Property::SameAs, Cell::Other(_)) => {
                let wanted = object.clone();
                Box::new(
                    self.bearers(property)
                        .filter(move |&id| self.objects(id, property).any(|cell| cell == wanted)),
                )
            }
            _ => Box::new(empty()),
        }
    }

    fn cell(self, term: Term) -> Cell {
        if let Term::NamedNode(node) = &term {
            if let Some(id) = rdf::entity_of(self.graph, node.as_str()) {
                return Cell::Entity(id);
            }
            if let Some(property) = Property::of(node.as_str()) {
                return Cell::Property(property);
            }
            if let Some(kind) = rdf::kind_of_class(node.as_str()) {
                return Cell::Class(kind);
            }
        }
        Cell::Other(Arc::new(term))
    }
}

/// Triples between two looks at `stop`; few, for each may be paired with every other triple before the next is asked for.
const LOOK_EVERY: u32 = 1 << 4;

impl<'a> QueryableDataset<'a> for Dataset<'a> {
    type InternalTerm = Cell;
    type Error = Interrupted;

    fn internal_quads_for_pattern(
        &self,
        subject: Option<&Cell>,
        predicate: Option<&Cell>,
        object: Option<&Cell>,
        graph_name: Option<Option<&Cell>>,
    ) -> impl Iterator<Item = Result<InternalQuad<Cell>, Interrupted>> + use<'a> {
        let this = *self;
        let subject = match subject {
            None => Some(None),
            Some(Cell::Entity(id)) => Some(Some(*id)),
            Some(_) => None,
        };
        let found: Cells<'a> = match (graph_name, subject, predicate) {
            // There is only the default graph.
            (Some(None), Some(subject), None) => {
                let object = object.cloned();
                Box::new(
                    Property::all()
                        .flat_map(move |property| this.of_property(subject, property, object.as_ref())),
                )
            }
            (Some(None), Some(subject), Some(Cell::Property(property))) => {
                this.of_property(subject, *property, object)
            }
            _ => Box::new(empty()),
        };
        let (mut found, mut n_found, mut is_stopped) = (found, 0_u32, false);
        std::iter::from_fn(move || {
            // The evaluator goes on after an error, so a stopped walk has to end by itself.
            if is_stopped {
                return None;
            }
            let (subject, property, object) = found.next()?;
            n_found += 1;
            if n_found.is_multiple_of(LOOK_EVERY) && (this.stop)() {
                is_stopped = true;
                return Some(Err(Interrupted { step: "answering a SPARQL query" }));
            }
            Some(Ok(InternalQuad {
                subject: Cell::Entity(subject),
                predicate: Cell::Property(property),
                object,
                graph_name: None,
            }))
        })
    }

    fn internalize_term(&self, term: Term) -> Result<Cell, Interrupted> {
        Ok(self.cell(term))
    }

    fn externalize_term(&self, term: Cell) -> Result<Term, Interrupted> {
        Ok(match term {
            Cell::Entity(id) => NamedNode::new_unchecked(rdf::iri(self.graph, id)).into(),
            Cell::Property(property) => property.node().into(),
            Cell::Class(kind) => rdf::class(kind).into(),
            Cell::Other(term) => Arc::unwrap_or_clone(term),
        })
    }
}
