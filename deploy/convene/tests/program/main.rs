//! The program as people use it: each test runs `convene` in a folder of its own.

mod commands;
mod running;
mod serving;
