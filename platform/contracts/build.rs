//! Compiles the `.proto` files with a pure Rust compiler: no protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["events.proto", "stored.proto"], ["proto"])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    // prost leaves these two out where a field is repeated; facts are hashed whole.
    for repeated in ["TradeNovated", "LedgerEvent", "ClearingStored", "LedgerStored"] {
        config.type_attribute(format!(".bellwether.v1.{repeated}"), "#[derive(Eq, Hash)]");
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
