//! The way to a cluster through an HTTP proxy: the kubeconfig's own `proxy-url`, else `HTTPS_PROXY`; `NO_PROXY` spares.
//!
//! kube can do so behind a feature that compiles more than it brings: what it takes is one connector.

use super::cluster::CONNECT;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use tower::{BoxError, ServiceBuilder};

/// A client for this config, through its proxy where it has one.
pub(super) fn client(mut config: Config) -> Result<Client, Error> {
    let Some(proxy) = config.proxy_url.take() else { return Client::try_from(config) };
    let spared = ["NO_PROXY", "no_proxy"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let matcher = Matcher::builder().all(proxy.to_string()).no(spared).build();
    let Some(intercept) = matcher.intercept(&config.cluster_url) else { return Client::try_from(config) };
    if intercept.uri().scheme_str() != Some("http") {
        return Err(Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy) });
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    let mut tunnel = Tunnel::new(intercept.uri().clone(), connector);
    if let Some(credentials) = intercept.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    let connector = config.rustls_https_connector_with_connector(tunnel)?;
    let wire: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
    // The layers of kube's own client, in its order.
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(wire);
    Ok(Client::new(service, config.default_namespace))
}
