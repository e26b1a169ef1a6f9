//! What the API takes and gives, as it stands in the OpenAPI document.

use serde::{Deserialize, Serialize};
use titlecard_engine::catalogue::Film;
use titlecard_engine::query::Span;
use utoipa::{IntoParams, ToSchema};

use super::extract::{whole, whole_or_null};

/// Bytes `start..end` of a text in UTF-8.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct TextSpan {
    /// First byte.
    pub(crate) start: usize,
    /// The byte after the last.
    pub(crate) end: usize,
}

impl From<Span> for TextSpan {
    fn from(span: Span) -> Self {
        Self { start: span.start, end: span.end }
    }
}

/// A search, as parameters of the address.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParams {
    /// The film in one's own words; filters may be written into it (`year:1980..1989 -genre:comedy`).
    #[param(min_length = 1, example = "a shark frightens a beach town")]
    pub(crate) q: String,
    /// Films wanted, at most `server.max_page` (100).
    #[param(minimum = 1, maximum = 100, default = 10)]
    pub(crate) limit: Option<usize>,
    /// Films left out before them; with `limit` at most 1,000.
    #[param(minimum = 0, maximum = 999, default = 0)]
    pub(crate) offset: Option<usize>,
    /// Whether to say why each film is there.
    #[param(default = false)]
    pub(crate) explain: Option<bool>,
    /// Whether to ask back.
    #[param(default = false)]
    pub(crate) ask: Option<bool>,
}

/// A search.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// The film in one's own words; filters may be written into it (`year:1980..1989 -genre:comedy`).
    #[schema(min_length = 1, example = "a shark frightens a beach town")]
    pub(crate) query: String,
    /// More filters, one each.
    #[serde(default)]
    #[schema(max_items = 32, example = json!(["year:1970..1979", "-genre:comedy"]))]
    pub(crate) filters: Vec<String>,
    /// Films wanted, at most `server.max_page` (100).
    #[serde(default = "ten", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 100)]
    pub(crate) limit: usize,
    /// Films left out before them; with `limit` at most 1,000.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 999)]
    pub(crate) offset: usize,
    /// Whether to say why each film is there.
    #[serde(default)]
    pub(crate) explain: bool,
    /// Whether to ask back.
    #[serde(default)]
    pub(crate) ask: bool,
    /// Ids of questions that were answered or could not be; they are not asked again.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub(crate) asked: Vec<String>,
}

fn ten() -> usize {
    10
}

/// An answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    /// The question with all filters: the text that spans are of.
    pub(crate) query: String,
    /// Name of the state of the catalogue that answered.
    pub(crate) generation: String,
    /// Films compared.
    pub(crate) n_films: usize,
    /// Films that pass the filters, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) n_passing: Option<usize>,
    /// Time taken.
    pub(crate) latency_ms: f64,
    /// Filters, and what was understood of the question.
    pub(crate) chips: Vec<Chip>,
    /// What was understood of the question, in words.
    pub(crate) understood: Vec<String>,
    /// Films, best first.
    pub(crate) hits: Vec<HitBody>,
    /// The question whose answer would tell most, if one was wanted and is worth asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) question: Option<QuestionBody>,
}

/// What a chip stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChipKind {
    /// A filter: films that do not pass are left out.
    Filter,
    /// Something understood: it counts, but rules nothing out.
    Cue,
}

/// A filter, or something understood; both can be taken out of the question.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Chip {
    /// What it stands for.
    pub(crate) kind: ChipKind,
    /// What it is about (`year`, `genre`, `released`).
    pub(crate) field: String,
    /// Its value.
    pub(crate) value: String,
    /// Whether it is denied.
    pub(crate) negated: bool,
    /// Where it stands in the text.
    pub(crate) span: TextSpan,
    /// Which of the filters sent beside the question it is, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<usize>,
    /// The filter that would make a cue strict, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<String>,
}

/// A film of an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HitBody {
    /// Place, from 1.
    pub(crate) rank: usize,
    /// What films are ranked by.
    pub(crate) score: f64,
    /// The film.
    pub(crate) film: FilmBody,
    /// Words of the overview that are words of the question.
    pub(crate) marks: Vec<TextSpan>,
    /// Words of the question found in the film, the most telling first.
    pub(crate) words: Vec<String>,
    /// Everything the score is the sum of, if wanted and if there are rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Why>,
}

/// A film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FilmBody {
    /// Id in the catalogue.
    pub(crate) id: String,
    /// Title.
    pub(crate) title: String,
    /// Title in the language of the film, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) original_title: Option<String>,
    /// Year of release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) year: Option<i32>,
    /// Genres.
    pub(crate) genres: Vec<String>,
    /// Keywords.
    pub(crate) keywords: Vec<String>,
    /// What the film is about.
    pub(crate) overview: String,
    /// Actors, leading ones first.
    pub(crate) cast: Vec<String>,
    /// Directors.
    pub(crate) directors: Vec<String>,
    /// Countries of production.
    pub(crate) countries: Vec<String>,
    /// Languages.
    pub(crate) languages: Vec<String>,
    /// How widely it is known, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) votes: Option<u32>,
}

impl From<Film> for FilmBody {
    fn from(film: Film) -> Self {
        Self {
            id: film.id,
            title: film.title,
            original_title: film.original_title,
            year: film.year,
            genres: film.genres,
            keywords: film.keywords,
            overview: film.overview,
            cast: film.cast,
            directors: film.directors,
            countries: film.countries,
            languages: film.languages,
            votes: film.votes,
        }
    }
}

/// Everything a score is the sum of: `bias`, the weights of the rules, the contributions of the scores.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Why {
    /// The sum.
    pub(crate) score: f64,
    /// The constant.
    pub(crate) bias: f64,
    /// Rules that hold, the weightiest first.
    pub(crate) rules: Vec<RuleBody>,
    /// Scores.
    pub(crate) scores: Vec<ScoreBody>,
    /// What the score called `first stage` is the sum of.
    pub(crate) parts: Vec<PartBody>,
}

/// A rule that holds for a film.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RuleBody {
    /// Number in the list, from 1.
    pub(crate) rule: usize,
    /// The rule as it stands in the list.
    pub(crate) text: String,
    /// What it says, in plain words, a line for every fact.
    pub(crate) words: Vec<String>,
    /// What it adds to the score.
    pub(crate) weight: f64,
    /// What it rests on.
    pub(crate) evidence: Vec<EvidenceBody>,
}

/// What a rule rests on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EvidenceBody {
    /// The fact it shows.
    pub(crate) fact: String,
    /// Where the question says it, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) question: Option<TextSpan>,
    /// The words of the question.
    pub(crate) said: String,
    /// What the film has.
    pub(crate) film: String,
}

/// A score of the linear part.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ScoreBody {
    /// Its name.
    pub(crate) name: String,
    /// What it is, in plain words.
    pub(crate) words: String,
    /// Its value.
    pub(crate) value: f64,
    /// Its weight.
    pub(crate) weight: f64,
    /// What it adds to the score.
    pub(crate) contribution: f64,
}

/// A part of the first stage.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PartBody {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: f32,
    /// Its weight.
    pub(crate) weight: f32,
    /// What it adds.
    pub(crate) contribution: f32,
}

/// A question back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct QuestionBody {
    /// What it asks for; send it in `asked` and it is not asked again.
    pub(crate) id: String,
    /// The question.
    pub(crate) text: String,
    /// Answers to choose from.
    pub(crate) answers: Vec<ChoiceBody>,
    /// Bits that the answer can be expected to take away.
    pub(crate) gain_bits: f64,
    /// Bits that are open now.
    pub(crate) entropy_bits: f64,
}

/// An answer to choose.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ChoiceBody {
    /// Its words.
    pub(crate) label: String,
    /// The filter to send for it.
    pub(crate) filter: String,
    /// How likely it is by the rules, 0 to 1.
    pub(crate) share: f64,
}

/// Two films of an answer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareRequest {
    /// The question.
    #[schema(min_length = 1, example = "a shark frightens a beach town")]
    pub(crate) query: String,
    /// More filters, one each.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub(crate) filters: Vec<String>,
    /// Id of the first film.
    #[schema(example = "578")]
    pub(crate) first: String,
    /// Id of the second film.
    #[schema(example = "62")]
    pub(crate) second: String,
}

/// Why one film stands above another.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CompareResponse {
    /// The question with all filters: the text that spans are of.
    pub(crate) query: String,
    /// The first film.
    pub(crate) first: FilmName,
    /// The second film.
    pub(crate) second: FilmName,
    /// Score of the first less that of the second: the sum of what is below.
    pub(crate) difference: f64,
    /// Rules that hold for the first alone.
    pub(crate) only_first: Vec<RuleBody>,
    /// Rules that hold for the second alone; they count against the difference.
    pub(crate) only_second: Vec<RuleBody>,
    /// Scores that differ, and by how much.
    pub(crate) scores: Vec<DifferenceBody>,
    /// The smallest change that turns the order round, if one of at most three facts does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counterfactual: Option<CounterfactualBody>,
}

/// How much two films differ in a score.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DifferenceBody {
    /// Name of the score.
    pub(crate) name: String,
    /// What it is, in plain words.
    pub(crate) words: String,
    /// What it adds to the difference.
    pub(crate) difference: f64,
}

/// What would turn two films round.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CounterfactualBody {
    /// Id of the film whose facts change.
    pub(crate) film: String,
    /// In one sentence.
    pub(crate) text: String,
    /// The changes.
    pub(crate) changes: Vec<ChangeBody>,
    /// Its score now, and with the changes.
    pub(crate) score: [f64; 2],
    /// Its place now, and with the changes.
    pub(crate) place: [usize; 2],
}

/// A fact that would have to be otherwise.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ChangeBody {
    /// The fact.
    pub(crate) fact: String,
    /// What it means.
    pub(crate) words: String,
    /// What it would have to be.
    pub(crate) becomes: bool,
}

/// A film by its name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FilmName {
    /// Id in the catalogue.
    pub(crate) id: String,
    /// Title.
    pub(crate) title: String,
    /// Year of release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) year: Option<i32>,
}

/// Titles that begin so.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SuggestParams {
    /// The beginning of a title, slips of the keys allowed.
    #[param(example = "jaw")]
    pub(crate) q: String,
    /// Titles wanted.
    #[param(minimum = 1, maximum = 20, default = 8)]
    pub(crate) limit: Option<usize>,
}

/// Titles.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SuggestResponse {
    /// Films, the best fit first.
    pub(crate) titles: Vec<SuggestionBody>,
}

/// A film whose title fits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SuggestionBody {
    /// Id in the catalogue.
    pub(crate) id: String,
    /// Its title.
    pub(crate) title: String,
    /// The title that fits, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) also: Option<String>,
    /// Year of release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) year: Option<i32>,
    /// Slips of the keys.
    pub(crate) edits: u8,
}

/// How many films.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitParams {
    /// Films wanted.
    #[param(minimum = 1, maximum = 100, default = 10)]
    pub(crate) limit: Option<usize>,
}

/// Films like a film.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SimilarResponse {
    /// The film.
    pub(crate) film: FilmName,
    /// Films like it, best first.
    pub(crate) similar: Vec<SimilarBody>,
}

/// A film like another.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SimilarBody {
    /// Place, from 1.
    pub(crate) rank: usize,
    /// The film.
    pub(crate) film: FilmName,
    /// The sum of the parts.
    pub(crate) score: f32,
    /// What the score is the sum of.
    pub(crate) parts: Vec<SimilarPart>,
}

/// A part of what makes films alike.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SimilarPart {
    /// Its name.
    pub(crate) name: String,
    /// What it adds to the score.
    pub(crate) contribution: f32,
    /// What both share, the rarest first.
    pub(crate) shared: Vec<String>,
}

/// What is around a film in the graph.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct GraphResponse {
    /// The film.
    pub(crate) film: FilmName,
    /// What it is linked to.
    pub(crate) entities: Vec<EntityBody>,
    /// Entities left out.
    pub(crate) n_more: usize,
    /// What these are kinds of.
    pub(crate) above: Vec<AboveBody>,
    /// Films that share rare ones.
    pub(crate) related: Vec<RelatedBody>,
}

/// An entity of a film.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EntityBody {
    /// How it is linked.
    pub(crate) relation: String,
    /// Its name.
    pub(crate) name: String,
    /// Whether the link was derived from text.
    pub(crate) derived: bool,
    /// Films it is linked to.
    pub(crate) n_films: u32,
}

/// Something that entities are kinds of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AboveBody {
    /// Its name.
    pub(crate) name: String,
    /// The entities below it, by their place in the list.
    pub(crate) from: Vec<usize>,
}

/// A film that shares rare entities.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RelatedBody {
    /// The film.
    pub(crate) film: FilmName,
    /// What is shared, by the place in the list of entities.
    pub(crate) shared: Vec<usize>,
}

/// The rules that rank.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RulesResponse {
    /// Names this list; send it as `If-Match` with a change.
    pub(crate) tag: String,
    /// The constant.
    pub(crate) bias: f64,
    /// The rules, by number.
    pub(crate) rules: Vec<RuleLine>,
    /// The scores.
    pub(crate) scores: Vec<ScoreLine>,
    /// The list as it is: what `PUT /v1/rules` takes.
    pub(crate) list: serde_json::Value,
}

/// A rule of the list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RuleLine {
    /// Number, from 1.
    pub(crate) rule: usize,
    /// As it stands in the list.
    pub(crate) text: String,
    /// What it says, in plain words.
    pub(crate) words: Vec<String>,
    /// What it adds to the score where it holds.
    pub(crate) weight: f64,
    /// Share of the pairs it was learned from in which it held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) support: Option<f64>,
}

/// A score of the list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ScoreLine {
    /// Its name.
    pub(crate) name: String,
    /// Its weight.
    pub(crate) weight: f64,
}

/// Another weight for a rule.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightRequest {
    /// The weight; 0 switches the rule off.
    #[schema(minimum = -1000, maximum = 1000)]
    pub(crate) weight: f64,
}

/// What is to be said of a rule list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LintResponse {
    /// Whether the list may rank.
    pub(crate) is_usable: bool,
    /// Errors first, then remarks.
    pub(crate) findings: Vec<FindingBody>,
}

/// Something to know about a rule list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FindingBody {
    /// Number of the rule, from 1; none for the list as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<usize>,
    /// Whether the list must not be used before it is mended.
    pub(crate) is_error: bool,
    /// What it is, and what to do.
    pub(crate) message: String,
}

/// A film to be added or changed. One of `overview`, `tags`, `genres`, `keywords`, `cast` and `directors` must say
/// something.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilmInput {
    /// Id in the catalogue; in `PUT /v1/films/{id}` it may be left out.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) id: Option<String>,
    /// Title.
    #[schema(min_length = 1, max_length = 1000, pattern = r"\w")]
    pub(crate) title: String,
    /// Title in the language of the film, where it differs.
    pub(crate) original_title: Option<String>,
    /// Year of release.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1870, maximum = 2100)]
    pub(crate) year: Option<i32>,
    /// Genres.
    #[serde(default)]
    pub(crate) genres: Vec<String>,
    /// Keywords.
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    /// What the film is about.
    #[serde(default)]
    pub(crate) overview: String,
    /// Actors, leading ones first.
    #[serde(default)]
    pub(crate) cast: Vec<String>,
    /// Directors.
    #[serde(default)]
    pub(crate) directors: Vec<String>,
    /// Countries of production.
    #[serde(default)]
    pub(crate) countries: Vec<String>,
    /// Languages, the original one first.
    #[serde(default)]
    pub(crate) languages: Vec<String>,
    /// What happens in it, told at length.
    #[serde(default)]
    pub(crate) plot: String,
    /// How widely it is known.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    pub(crate) votes: Option<u32>,
    /// Everything said of the film in one text; made of the other fields if left out.
    pub(crate) tags: Option<String>,
}

/// Changes are on disk, and will be built in.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AcceptedBody {
    /// Films added, changed or deleted by this request.
    pub(crate) accepted: usize,
    /// Number of the last change; `GET /v1/status` says up to which number they are built in.
    pub(crate) seq: u64,
    /// Changed films that wait to be built in.
    pub(crate) pending: usize,
}

/// How the server is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StatusResponse {
    /// Release of titlecard.
    pub(crate) version: String,
    /// Name of the current state of the catalogue.
    pub(crate) generation: String,
    /// Films in it.
    pub(crate) n_films: usize,
    /// Rules that rank.
    pub(crate) n_rules: usize,
    /// Seconds since the start.
    pub(crate) uptime_s: f64,
    /// Changes.
    pub(crate) changes: ChangesStatus,
    /// The work on them.
    pub(crate) build: BuildStatus,
}

/// Changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ChangesStatus {
    /// Number of the last change acknowledged.
    pub(crate) acknowledged_seq: u64,
    /// Number of the last change that searches see.
    pub(crate) visible_seq: u64,
    /// Number of the last change built into the files of the working folder.
    pub(crate) built_seq: u64,
    /// Changed films that wait to be built in.
    pub(crate) pending: usize,
}

/// The work on changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BuildStatus {
    /// `idle`, `waiting`, `running` or `failed`.
    pub(crate) state: String,
    /// What is being done, or what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    /// Units done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<u64>,
    /// Units in all; 0 if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
    /// Builds since the start.
    pub(crate) n_builds: u64,
    /// Seconds the last one took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_s: Option<f64>,
}

/// Well.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: String,
}
