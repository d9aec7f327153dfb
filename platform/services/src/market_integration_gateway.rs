//! market_integration_gateway
