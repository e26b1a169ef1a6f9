//! Filters written into a query: `year:1980..1989 -genre:comedy person:"Sigourney Weaver"`.

use serde::Serialize;

use super::Span;

/// What a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Year of release.
    Year,
    /// Genre.
    Genre,
    /// Country of production.
    Country,
    /// Language.
    Language,
    /// Anybody in front of or behind the camera.
    Person,
    /// An actor.
    Actor,
    /// A director.
    Director,
    /// A keyword.
    Keyword,
    /// A production company.
    Company,
    /// A series of films.
    Collection,
    /// Words of the title.
    Title,
}

impl Field {
    /// All fields, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::Year,
        Self::Genre,
        Self::Country,
        Self::Language,
        Self::Person,
        Self::Actor,
        Self::Director,
        Self::Keyword,
        Self::Company,
        Self::Collection,
        Self::Title,
    ];

    /// Its name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Genre => "genre",
            Self::Country => "country",
            Self::Language => "language",
            Self::Person => "person",
            Self::Actor => "actor",
            Self::Director => "director",
            Self::Keyword => "keyword",
            Self::Company => "company",
            Self::Collection => "collection",
            Self::Title => "title",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name().eq_ignore_ascii_case(name))
    }
}

/// Years, both ends included; an end that is not given is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct YearRange {
    /// First year.
    pub from: Option<i32>,
    /// Last year.
    pub to: Option<i32>,
}

impl YearRange {
    /// Whether `year` lies in the range.
    pub fn holds(&self, year: i32) -> bool {
        self.from.is_none_or(|from| from <= year) && self.to.is_none_or(|to| year <= to)
    }

    /// The range in words: `1980..1989`, `1980..`, `..1989`, `1984`.
    pub fn words(&self) -> String {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => from.to_string(),
            (from, to) => {
                let part = |year: Option<i32>| year.map(|year| year.to_string()).unwrap_or_default();
                format!("{}..{}", part(from), part(to))
            }
        }
    }
}

/// One condition on a field other than the year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What it looks at.
    pub field: Field,
    /// What is asked for, as written.
    pub value: String,
    /// Where it stands in the query.
    pub span: Span,
}

/// All filters of a query. A film passes if it meets every condition of `include`, none of `exclude`, and its
/// year lies in one of `years` (if there are any) and in none of `not_years`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Filters {
    /// Conditions a film must meet.
    pub include: Vec<Condition>,
    /// Conditions a film must not meet.
    pub exclude: Vec<Condition>,
    /// Years asked for; several are alternatives.
    pub years: Vec<YearRange>,
    /// Years ruled out.
    pub not_years: Vec<YearRange>,
    /// Where filters stand in the query, in order: this text is not searched for.
    pub spans: Vec<Span>,
}

impl Filters {
    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty()
            && self.exclude.is_empty()
            && self.years.is_empty()
            && self.not_years.is_empty()
    }

    /// Whether a film of this year passes the filters on years. A film without a year passes only if none is asked for.
    pub fn year_passes(&self, year: Option<i32>) -> bool {
        match year {
            None => self.years.is_empty(),
            Some(year) => {
                (self.years.is_empty() || self.years.iter().any(|range| range.holds(year)))
                    && !self.not_years.iter().any(|range| range.holds(year))
            }
        }
    }

    /// The query without its filters, in the order in which its parts stand.
    pub fn rest<'a>(&self, query: &'a str) -> Vec<&'a str> {
        let mut parts = Vec::new();
        let mut at = 0;
        for span in &self.spans {
            parts.extend(query.get(at..span.start).map(str::trim).filter(|part| !part.is_empty()));
            at = span.end;
        }
        parts.extend(query.get(at..).map(str::trim).filter(|part| !part.is_empty()));
        parts
    }
}

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "error", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FilterError {
    /// There is no such field.
    #[error("there is no filter `{found}` (allowed: {allowed}){}", hint(*.nearest))]
    UnknownField {
        /// What was written.
        found: String,
        /// The fields there are.
        allowed: String,
        /// The most similar field.
        nearest: Option<&'static str>,
        /// Where it stands.
        span: Span,
    },
    /// Nothing follows the colon.
    #[error("the filter `{field}:` has no value; write `{field}:{example}`")]
    NoValue {
        /// The field.
        field: &'static str,
        /// A value that would do.
        example: &'static str,
        /// Where it stands.
        span: Span,
    },
    /// A quotation mark without its partner.
    #[error("the filter `{field}:{found}` has no closing quotation mark")]
    OpenQuote {
        /// The field.
        field: &'static str,
        /// What was written.
        found: String,
        /// Where it stands.
        span: Span,
    },
    /// Not a year or a range of years.
    #[error(
        "`{found}` is not a year or a range of years (allowed: `1984`, `1980..1989`, `1980..`, `..1989`, `1980s`)"
    )]
    BadYear {
        /// What was written.
        found: String,
        /// Where it stands.
        span: Span,
    },
    /// A range that ends before it begins.
    #[error("the range `{found}` ends before it begins; write `year:{to}..{from}`")]
    EmptyRange {
        /// What was written.
        found: String,
        /// Its first year.
        from: i32,
        /// Its last year.
        to: i32,
        /// Where it stands.
        span: Span,
    },
}

impl FilterError {
    /// Where the filter stands in the query.
    pub fn span(&self) -> Span {
        match self {
            Self::UnknownField { span, .. }
            | Self::NoValue { span, .. }
            | Self::OpenQuote { span, .. }
            | Self::BadYear { span, .. }
            | Self::EmptyRange { span, .. } => *span,
        }
    }
}

fn hint(nearest: Option<&'static str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}:`?")).unwrap_or_default()
}

/// The filters of `query`, and those that cannot be read.
///
/// A filter is a field's name (or `-` and a name) at the beginning of a word, a colon, and its value with no
/// space between: prose such as "Genre: horror" or "edit:found" is no filter. A name with one slip of the keys
/// ("gener:horror"), or any name after `-`, is an error.
pub fn parse_filters(query: &str) -> (Filters, Vec<FilterError>) {
    let mut filters = Filters::default();
    let mut errors = Vec::new();
    let mut at = 0;
    while let Some(colon) = query[at..].find(':').map(|offset| at + offset) {
        at = colon + 1;
        let name_start = query[..colon]
            .rfind(|c: char| !c.is_ascii_alphabetic())
            .map_or(0, |before| before + query[before..].chars().next().map_or(1, char::len_utf8));
        if filters.spans.last().is_some_and(|last| name_start < last.end) {
            continue;
        }
        let name = &query[name_start..colon];
        let mut start = name_start;
        let mut negated = false;
        if query[..start].ends_with('-') {
            start -= 1;
            negated = true;
        }
        let at_word_start = query[..start].chars().next_back().is_none_or(|c| c.is_whitespace() || c == '(');
        if name.is_empty() || !at_word_start {
            continue;
        }
        let has_value =
            query[at..].chars().next().is_some_and(|c| !c.is_whitespace() && c != ':' && c != '/');
        let Some(field) = Field::parse(name) else {
            let nearest = Field::ALL
                .into_iter()
                .map(Field::name)
                .find(|known| one_slip(&name.to_ascii_lowercase(), known));
            if has_value
                && (negated || nearest.is_some())
                && name.bytes().all(|byte| byte.is_ascii_lowercase())
            {
                let end = value_end(query, at).1;
                let span = Span::new(start, end);
                errors.push(FilterError::UnknownField {
                    found: name.to_owned(),
                    allowed: allowed(),
                    nearest,
                    span,
                });
                filters.spans.push(span);
                at = end;
            }
            continue;
        };
        if !has_value {
            // "-genre:" can be nothing else; "Genre: horror" is prose.
            if negated || (at == query.len() && start == 0) {
                let span = Span::new(start, at);
                errors.push(FilterError::NoValue { field: field.name(), example: example(field), span });
                filters.spans.push(span);
            }
            continue;
        }
        let (value, end, closed) = value_end(query, at);
        let span = Span::new(start, end);
        filters.spans.push(span);
        at = end;
        if !closed {
            errors.push(FilterError::OpenQuote { field: field.name(), found: value.to_owned(), span });
        } else if value.trim().is_empty() {
            errors.push(FilterError::NoValue { field: field.name(), example: example(field), span });
        } else if field == Field::Year {
            match parse_years(value, span) {
                Ok(range) if negated => filters.not_years.push(range),
                Ok(range) => filters.years.push(range),
                Err(error) => errors.push(error),
            }
        } else {
            let condition = Condition { field, value: value.trim().to_owned(), span };
            if negated { filters.exclude.push(condition) } else { filters.include.push(condition) }
        }
    }
    (filters, errors)
}

fn allowed() -> String {
    Field::ALL.map(Field::name).join(", ")
}

fn example(field: Field) -> &'static str {
    match field {
        Field::Year => "1980..1989",
        Field::Genre => "horror",
        Field::Country => "France",
        Field::Language => "French",
        Field::Person | Field::Actor => "\"Sigourney Weaver\"",
        Field::Director => "\"Ridley Scott\"",
        Field::Keyword => "robot",
        Field::Company => "\"Studio Ghibli\"",
        Field::Collection => "\"Toy Story Collection\"",
        Field::Title => "alien",
    }
}

/// The value that begins at `at`, its end with quotation marks, and whether they are closed.
fn value_end(query: &str, at: usize) -> (&str, usize, bool) {
    let rest = &query[at..];
    let Some(open) = rest.chars().next().filter(|c| matches!(c, '"' | '\u{201c}' | '\u{201d}')) else {
        let mut end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        end = rest[..end].trim_end_matches([',', ';', ')', '!', '?']).len();
        return (&rest[..end], at + end, true);
    };
    let inner = &rest[open.len_utf8()..];
    match inner.find(['"', '\u{201d}', '\u{201c}']) {
        Some(length) => {
            let close = inner[length..].chars().next().map_or(1, char::len_utf8);
            (&inner[..length], at + open.len_utf8() + length + close, true)
        }
        None => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (&rest[..end], at + end, false)
        }
    }
}

fn parse_years(value: &str, span: Span) -> Result<YearRange, FilterError> {
    let bad = || FilterError::BadYear { found: value.to_owned(), span };
    let year = |part: &str| -> Result<Option<i32>, FilterError> {
        if part.is_empty() {
            return Ok(None);
        }
        let digits = part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| digits).map(Some).ok_or_else(bad)
    };
    if let Some(decade) = value.strip_suffix('s').filter(|decade| decade.ends_with('0')) {
        let from = year(decade)?.ok_or_else(bad)?;
        return Ok(YearRange { from: Some(from), to: Some(from + 9) });
    }
    let (from, to) = match value.split_once("..").or_else(|| value.split_once(['-', '\u{2013}'])) {
        Some((from, to)) => (year(from)?, year(to)?),
        None => {
            let only = year(value)?;
            (only, only)
        }
    };
    match (from, to) {
        (None, None) => Err(bad()),
        (Some(from), Some(to)) if from > to => {
            Err(FilterError::EmptyRange { found: value.to_owned(), from, to, span })
        }
        _ => Ok(YearRange { from, to }),
    }
}

/// Whether one letter was left out, added, changed or two exchanged.
fn one_slip(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 1 || a == b {
        return false;
    }
    let same_front = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (&a[same_front..], &b[same_front..]);
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => rest_a == &rest_b[1..],
        std::cmp::Ordering::Greater => &rest_a[1..] == rest_b,
        std::cmp::Ordering::Equal => {
            rest_a[1..] == rest_b[1..]
                || rest_a.len() >= 2
                    && rest_a[0] == rest_b[1]
                    && rest_a[1] == rest_b[0]
                    && rest_a[2..] == rest_b[2..]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_taken_out_of_the_text() {
        let query = "robots in love year:1980..1989 -genre:comedy genre:\"science fiction\" on a farm";
        let (filters, errors) = parse_filters(query);
        assert_eq!(errors, []);
        assert_eq!(filters.years, [YearRange { from: Some(1980), to: Some(1989) }]);
        assert_eq!(filters.include[0].value, "science fiction");
        assert_eq!(filters.exclude[0].field, Field::Genre);
        assert_eq!(filters.rest(query), ["robots in love", "on a farm"]);
        assert_eq!(filters.exclude[0].span.of(query), "-genre:comedy");
    }

    #[test]
    fn years_in_all_shapes() {
        for (text, from, to) in [
            ("year:1984", Some(1984), Some(1984)),
            ("year:1980..", Some(1980), None),
            ("year:..1989", None, Some(1989)),
            ("year:1980-1989", Some(1980), Some(1989)),
            ("Year:1990s", Some(1990), Some(1999)),
        ] {
            let (filters, errors) = parse_filters(text);
            assert_eq!((filters.years, errors), (vec![YearRange { from, to }], vec![]), "{text}");
        }
        let (filters, _) = parse_filters("year:1950..1959 year:1970.. -year:1975");
        assert!(filters.year_passes(Some(1955)) && filters.year_passes(Some(2001)));
        assert!(
            !filters.year_passes(Some(1965))
                && !filters.year_passes(Some(1975))
                && !filters.year_passes(None)
        );
    }

    #[test]
    fn prose_is_no_filter() {
        for text in [
            "Genre: horror",
            "edit:found it",
            "see https://example.org/a:b",
            "the title: unknown",
            "12:30 pm",
            "subgenre:x",
        ] {
            assert_eq!(parse_filters(text), (Filters::default(), vec![]), "{text}");
        }
    }

    #[test]
    fn errors_say_what_was_found_and_what_is_allowed() {
        let message = |text: &str| parse_filters(text).1[0].to_string();
        insta::assert_snapshot!(
            ["year:eighties", "year:1989..1980", "year:..", "gener:horror", "-foo:bar", "-genre:", "genre:\"sci fi", "genre:\"\""].map(message).join("\n"),
            @r#"
        `eighties` is not a year or a range of years (allowed: `1984`, `1980..1989`, `1980..`, `..1989`, `1980s`)
        the range `1989..1980` ends before it begins; write `year:1980..1989`
        `..` is not a year or a range of years (allowed: `1984`, `1980..1989`, `1980..`, `..1989`, `1980s`)
        there is no filter `gener` (allowed: year, genre, country, language, person, actor, director, keyword, company, collection, title); did you mean `genre:`?
        there is no filter `foo` (allowed: year, genre, country, language, person, actor, director, keyword, company, collection, title)
        the filter `genre:` has no value; write `genre:horror`
        the filter `genre:"sci` has no closing quotation mark
        the filter `genre:` has no value; write `genre:horror`
        "#
        );
    }
}
