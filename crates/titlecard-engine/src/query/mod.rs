//! Understanding a question: what is said of the film, what is only talk, and what it names.
