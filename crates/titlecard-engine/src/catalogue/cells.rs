//! What stands in a cell: lists in the ways people write them, years in the ways people write dates.

use serde_json::Value;

/// How the lists of a column are written, found by looking at many cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListStyle {
    /// `Drama|Crime`; also a column whose cells have one item each.
    Bars,
    /// `Drama, Crime`.
    Commas,
    /// `Syncopy, Metro-Goldwyn-Mayer, Inc.`: a comma before one of [`LEGAL_FORMS`] or "The" is part of a company's name.
    Companies,
}

/// What says of a company how it is organised, in lower case without dots; in its name it may stand behind a comma.
pub(crate) const LEGAL_FORMS: [&str; 17] = [
    "aie",
    "co",
    "company",
    "corp",
    "corporation",
    "gmbh",
    "inc",
    "incorporated",
    "kg",
    "limited",
    "llc",
    "lp",
    "ltd",
    "plc",
    "sa",
    "spa",
    "srl",
];

impl ListStyle {
    /// The style most cells of a field are written in; brackets and braces are understood under any.
    pub(super) fn of<'a>(field: &str, cells: impl Iterator<Item = &'a str>) -> Self {
        let (mut bars, mut commas) = (0, 0);
        for cell in cells.filter(|cell| !is_structured(cell)) {
            bars += usize::from(cell.contains('|'));
            commas += usize::from(cell.contains(','));
        }
        // A bar never stands inside a name; a comma may.
        match field {
            _ if bars > 0 || commas == 0 => Self::Bars,
            // A film is in one series as a rule, and its name is that of a film: "The Good, the Bad … Collection".
            "collections" => Self::Bars,
            "companies" => Self::Companies,
            _ => Self::Commas,
        }
    }
}

/// Whether a cell begins like a list or an object of JSON or Python.
fn is_structured(cell: &str) -> bool {
    cell.trim_start().starts_with(['[', '{'])
}

/// The items of a list cell; `None` if it begins like a list and cannot be read as one.
pub(super) fn parse_list(cell: &str, style: ListStyle) -> Option<Vec<String>> {
    let cell = cell.trim();
    if cell.is_empty() || cell.eq_ignore_ascii_case("nan") {
        return Some(Vec::new());
    }
    if is_structured(cell) {
        let value = serde_json::from_str::<Value>(cell).ok().or_else(|| parse_python(cell));
        return value.map(|value| names_in(&value));
    }
    Some(match style {
        ListStyle::Bars => clean_items(cell.split('|')),
        ListStyle::Commas => clean_items(cell.split(',')),
        ListStyle::Companies => clean_items(cut_companies(cell).into_iter()),
    })
}

/// Cuts a cell at its commas, but for those before a legal form and in "Weinstein Company, The".
fn cut_companies(cell: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut start = 0;
    for (comma, _) in cell.match_indices(',') {
        let next = cell[comma + 1..].split(',').next().unwrap_or_default();
        let plain = next.trim().replace('.', "").to_lowercase();
        if plain != "the" && !LEGAL_FORMS.contains(&plain.as_str()) {
            names.push(&cell[start..comma]);
            start = comma + 1;
        }
    }
    names.push(&cell[start..]);
    names
}

/// The items of a value of a field: texts, or the `name` of objects; one object is a list of one.
pub(super) fn list_of_value(field: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(_) | Value::Object(_) => names_in(value),
        other => text_of_value(other).map_or_else(Vec::new, |text| {
            let style = ListStyle::of(field, std::iter::once(text.as_str()));
            parse_list(&text, style).unwrap_or_default()
        }),
    }
}

/// The texts of a list, and the `name` of every object; nothing of other values.
fn names_in(value: &Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let names: Vec<String> = items
        .iter()
        .filter_map(|item| match item {
            Value::Object(fields) => fields.get("name").and_then(text_of_value),
            other => text_of_value(other),
        })
        .collect();
    clean_items(names.iter().map(String::as_str))
}

/// Texts and numbers as text; nothing else.
pub(super) fn text_of_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn clean_items<'a>(items: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for item in items.map(str::trim).filter(|item| !item.is_empty()) {
        if !kept.iter().any(|other| other == item) {
            kept.push(item.to_owned());
        }
    }
    kept
}

/// Reads what Python's `repr` writes of lists, tuples, dictionaries, texts, numbers, `None`, `True`, `False`, `nan`.
pub(super) fn parse_python(cell: &str) -> Option<Value> {
    let mut rest = cell.trim();
    let value = python_value(&mut rest, 0)?;
    rest.trim_start().is_empty().then_some(value)
}

/// Deeper nesting is no list of a catalogue.
const DEPTH: usize = 16;

fn python_value(rest: &mut &str, depth: usize) -> Option<Value> {
    *rest = rest.trim_start();
    let first = rest.chars().next()?;
    if depth > DEPTH {
        return None;
    }
    match first {
        '[' | '(' => {
            let close = if first == '[' { ']' } else { ')' };
            let mut items = Vec::new();
            *rest = &rest[1..];
            while !python_sign(rest, close) {
                items.push(python_value(rest, depth + 1)?);
                if !python_sign(rest, ',') && !rest.starts_with(close) {
                    return None;
                }
            }
            Some(Value::Array(items))
        }
        '{' => {
            let mut fields = serde_json::Map::new();
            *rest = &rest[1..];
            while !python_sign(rest, '}') {
                let key = text_of_value(&python_value(rest, depth + 1)?)?;
                if !python_sign(rest, ':') {
                    return None;
                }
                fields.insert(key, python_value(rest, depth + 1)?);
                if !python_sign(rest, ',') && !rest.starts_with('}') {
                    return None;
                }
            }
            Some(Value::Object(fields))
        }
        '\'' | '"' => python_text(rest, first).map(Value::String),
        _ => {
            let end = rest.find([',', ']', '}', ')', ':', ' ']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            *rest = behind;
            match word {
                "None" | "nan" | "null" => Some(Value::Null),
                "True" | "true" => Some(Value::Bool(true)),
                "False" | "false" => Some(Value::Bool(false)),
                number => number.parse().ok().map(Value::Number),
            }
        }
    }
}

/// Takes `sign`, with white space before and behind, if it comes next.
fn python_sign(rest: &mut &str, sign: char) -> bool {
    *rest = rest.trim_start();
    let found = rest.strip_prefix(sign);
    if let Some(behind) = found {
        *rest = behind.trim_start();
    }
    found.is_some()
}

fn python_text(rest: &mut &str, quote: char) -> Option<String> {
    let mut text = String::new();
    let mut chars = rest[1..].chars();
    loop {
        match chars.next()? {
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                mark @ ('x' | 'u' | 'U') => {
                    let n_digits = match mark {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let digits: String = chars.by_ref().take(n_digits).collect();
                    text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => text.push(other),
            },
            c if c == quote => break,
            c => text.push(c),
        }
    }
    *rest = chars.as_str();
    Some(text)
}

/// Names of those in a list of a film's crew whose job is to direct; also in JSON.
pub(super) fn directors_of_crew(value: &Value) -> Vec<String> {
    let parsed;
    let list = match value {
        Value::String(text) => {
            parsed = serde_json::from_str(text).ok().or_else(|| parse_python(text)).unwrap_or_default();
            &parsed
        }
        other => other,
    };
    let people = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_director = |person: &&Value| person.get("job").and_then(Value::as_str) == Some("Director");
    let names: Vec<String> = people
        .iter()
        .filter(is_director)
        .filter_map(|person| person.get("name").and_then(text_of_value))
        .collect();
    clean_items(names.iter().map(String::as_str))
}

/// First year with a film, and a bound for typing mistakes.
const YEARS: std::ops::RangeInclusive<i32> = 1870..=2100;

/// What a year cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Year {
    /// Nothing.
    None,
    /// A year.
    Known(i32),
    /// Something that is no year of a film.
    Bad,
}

/// Reads `1988`, `1988.0`, `1995-10-30`, `30/10/1995`.
pub(super) fn parse_year(cell: &str) -> Year {
    let cell = cell.trim();
    if cell.is_empty() || cell.eq_ignore_ascii_case("nan") || cell == "0" {
        return Year::None;
    }
    let mut runs = cell.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() == 4);
    let year = runs.next().and_then(|run| run.parse().ok());
    match year {
        Some(year) if YEARS.contains(&year) => Year::Known(year),
        _ => Year::Bad,
    }
}

/// Reads a count such as `1204` or `1204.0`; anything else is no count.
pub(super) fn parse_votes(cell: &str) -> Option<u32> {
    let count: f64 = cell.trim().parse().ok()?;
    (count >= 0.0 && count <= f64::from(u32::MAX)).then_some(count as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(cell: &str) -> Option<Vec<String>> {
        parse_list(cell, ListStyle::of("genres", std::iter::once(cell)))
    }

    #[test]
    fn every_way_to_write_a_list_is_read() {
        let expected = Some(vec!["Action".to_owned(), "Science Fiction".to_owned()]);
        for cell in [
            "Action|Science Fiction",
            " Action , Science Fiction,",
            r#"[{"id": 28, "name": "Action"}, {"id": 878, "name": "Science Fiction"}]"#,
            "[{'id': 28, 'name': 'Action'}, {'id': 878, 'name': 'Science Fiction'}]",
            r#"["Action", "Science Fiction", "Action"]"#,
            "['Action', 'Science Fiction']",
        ] {
            assert_eq!(list(cell), expected, "{cell}");
        }
        assert_eq!(list(""), Some(vec![]));
        assert_eq!(list("[]"), Some(vec![]));
        assert_eq!(list(r#"[{'name': "it's"}]"#), Some(vec!["it's".to_owned()]));
        assert_eq!(list("[{'name': 'cut off"), None);
        assert_eq!(list("[1, 2"), None);
        assert_eq!(list("{'name': 'cut off"), None);
        assert_eq!(list("{'id': 7, 'name': \"one's\"}"), Some(vec!["one's".to_owned()]));
        assert_eq!(list("{\"id\": 7}"), Some(vec![]));
        assert_eq!(
            list(r"[{'id': 1, 'cast': {'a': None}, 'name': 'Zo\xe9'}, {'name': 'b', 'x': (1, -2.5,)}]"),
            Some(vec!["Zoé".to_owned(), "b".to_owned()])
        );
        let crew = "[{'job': 'Editor', 'name': 'a'}, {'job': 'Director', 'name': \"b's\"}]";
        assert_eq!(directors_of_crew(&Value::String(crew.to_owned())), ["b's"]);
    }

    #[test]
    fn a_comma_is_no_separator_where_bars_are() {
        let style = ListStyle::of("genres", ["Murder, She Wrote", "Drama|Crime"].into_iter());
        assert_eq!(parse_list("Murder, She Wrote", style).unwrap(), ["Murder, She Wrote"]);
    }

    #[test]
    fn a_comma_before_a_legal_form_is_part_of_a_company() {
        for (cell, names) in [
            ("A, Inc.", &["A, Inc."][..]),
            ("A, Inc., B, Inc., A, Inc.", &["A, Inc.", "B, Inc."]),
            ("Toho Co., Ltd, S.p.A. Film,C , LLC", &["Toho Co., Ltd", "S.p.A. Film", "C , LLC"]),
            (", A,, B", &["A", "B"]),
            ("Inc., A", &["Inc.", "A"]),
            ("Weinstein Company, The, A", &["Weinstein Company, The", "A"]),
        ] {
            let style = ListStyle::of("companies", std::iter::once(cell));
            assert_eq!(parse_list(cell, style).unwrap(), names, "{cell}");
        }
    }

    #[test]
    fn years_are_found_in_dates() {
        for (cell, year) in [
            ("1988", Year::Known(1988)),
            ("1988.0", Year::Known(1988)),
            ("1995-10-30", Year::Known(1995)),
            ("30/10/1995", Year::Known(1995)),
            ("", Year::None),
            ("0", Year::None),
            ("9/26/77", Year::Bad),
            ("1066", Year::Bad),
            ("soon", Year::Bad),
        ] {
            assert_eq!(parse_year(cell), year, "{cell}");
        }
    }
}
