//! The binary `firn`.

fn main() -> std::process::ExitCode {
    firn::cli::main()
}
