//! The knowledge graph.

use std::ops::ControlFlow;
use std::path::PathBuf;

use pyo3::prelude::*;
use titlecard_engine::graph::{self, Neighbourhood, ShowConfig, Value};

use crate::errors::raise;
use crate::retriever::film_named;
use crate::runner;

/// Kind, value, name and datatype of one cell of an answer.
type Cell = Option<(&'static str, String, Option<String>, Option<String>)>;

/// An opened knowledge graph.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct Graph {
    graph: graph::Graph,
}

#[pymethods]
impl Graph {
    /// Opens the file of a graph.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| graph::Graph::open(&path)).map(|graph| Self { graph }).map_err(raise)
    }

    /// Films in it.
    #[getter]
    fn n_films(&self) -> usize {
        self.graph.n_films()
    }

    /// Films, people, genres, keywords, places and times in it.
    #[getter]
    fn n_entities(&self) -> usize {
        self.graph.n_entities()
    }

    /// Answers a SPARQL query: the variables, and one list a row.
    fn query(&self, py: Python<'_>, sparql: &str) -> PyResult<(Vec<String>, Vec<Vec<Cell>>)> {
        let answer = runner::run(py, None, |_| {
            let (mut variables, mut rows) = (Vec::new(), Vec::new());
            let mut on_variables = |names: &[String]| variables = names.to_vec();
            let mut on_row = |row: &[Option<Value>]| {
                rows.push(row.iter().map(|value| value.clone().map(cell)).collect());
                ControlFlow::Continue(())
            };
            graph::query(&self.graph, sparql, runner::is_stopped, &mut on_variables, &mut on_row)
                .map(|()| (variables, rows))
        })?;
        answer.map_err(raise)
    }

    /// A film with all it is linked to, as SVG. `film`: id or title.
    fn draw(&self, py: Python<'_>, film: &str) -> PyResult<String> {
        let film = film_named(&self.graph, None, film)?;
        py.detach(|| Neighbourhood::of(&self.graph, film, &ShowConfig::default()).to_svg()).map_err(raise)
    }
}

fn cell(value: Value) -> (&'static str, String, Option<String>, Option<String>) {
    (value.kind, value.value, value.name, value.datatype)
}
