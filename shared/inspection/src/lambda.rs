//! Functions, and the mappings that feed them.

use landfall_core::chain::observed::{Function, FunctionState, Mapping, Named};
use landfall_core::secret::Secret;

use crate::look::{Call, Unseen, look, named};
use crate::{Clients, Seen};

const CONFIGURATION: Call =
    Call { operation: "GetFunctionConfiguration", missing: &["ResourceNotFoundException"] };
const CONCURRENCY: Call =
    Call { operation: "GetFunctionConcurrency", missing: &["ResourceNotFoundException"] };
const MAPPINGS: Call =
    Call { operation: "ListEventSourceMappings", missing: &["ResourceNotFoundException"] };

/// The variable of a function that holds the external ID.
const EXTERNAL_ID: &str = "LANDFALL_EXTERNAL_ID";

/// A function, and the external ID that it presents, if it could be seen.
pub(crate) struct Looked {
    pub(crate) function: Function,
    pub(crate) external_id: Option<Secret>,
}

/// Looks at the function of this name, and at its mappings on the queues with these ARNs.
pub(crate) async fn function(clients: &Clients, name: String, queues: &[String]) -> Looked {
    let (configuration, concurrency, mappings) = tokio::join!(
        configuration(clients, &name),
        concurrency(clients, &name),
        all(clients, &name)
    );
    let mapping = |queue: &String| -> Named<Mapping> {
        let found = match &mappings {
            Ok(mappings) => mappings.iter().find(|(of, _)| of == queue).map(|(_, it)| it.clone()),
            Err(unseen) => return named(queue, Err(unseen.clone())),
        };
        named(queue, found.ok_or(Unseen::Missing))
    };
    let (state, external_id) = match configuration {
        Ok((state, external_id)) => (Ok(state), external_id),
        Err(unseen) => (Err(unseen), None),
    };
    let function = Function {
        mappings: queues.iter().map(mapping).collect(),
        name,
        state: look(state),
        reserved_concurrency: look(concurrency),
    };
    Looked { function, external_id }
}

async fn configuration(clients: &Clients, name: &str) -> Seen<(FunctionState, Option<Secret>)> {
    let get = clients.lambda.get_function_configuration().function_name(name);
    let answer = CONFIGURATION.seen(get.send().await)?;
    let variables = answer.environment.and_then(|environment| environment.variables);
    let external_id = variables.and_then(|mut variables| variables.remove(EXTERNAL_ID));
    let state = FunctionState {
        // Functions that nobody has updated since 2021 have no state, and work.
        state: answer.state.map_or("Active".to_owned(), |state| state.as_str().to_owned()),
        reason: answer.state_reason,
        // A function that left its VPC has an empty ID.
        vpc: answer.vpc_config.and_then(|vpc| vpc.vpc_id).filter(|id| !id.is_empty()),
    };
    Ok((state, external_id.filter(|id| !id.is_empty()).map(Secret::new)))
}

async fn concurrency(clients: &Clients, name: &str) -> Seen<Option<u32>> {
    let get = clients.lambda.get_function_concurrency().function_name(name);
    let reserved = CONCURRENCY.seen(get.send().await)?.reserved_concurrent_executions;
    Ok(reserved.and_then(|reserved| u32::try_from(reserved).ok()))
}

/// Returns the function's mappings, each with the ARN of its source.
async fn all(clients: &Clients, name: &str) -> Seen<Vec<(String, Mapping)>> {
    let list = clients.lambda.list_event_source_mappings().function_name(name);
    let mut pages = list.into_paginator().items().send();
    let mut mappings = Vec::new();
    while let Some(mapping) = pages.next().await {
        let mapping = MAPPINGS.seen(mapping)?;
        let Some((source, uuid)) = mapping.event_source_arn.zip(mapping.uuid) else { continue };
        let state = mapping.state.unwrap_or_default();
        mappings
            .push((source, Mapping { uuid, state, last_result: mapping.last_processing_result }));
    }
    Ok(mappings)
}
