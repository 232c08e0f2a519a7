//! The fake resource manager's answers, request by request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::state::{GROUP, Mode, SET, SUBSCRIPTION, State};

const PAGE: usize = 2;

pub fn answer(state: &mut State, head: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
    let path = head.uri.path().to_ascii_lowercase();
    let query = head.uri.query().unwrap_or_default();
    let is_form = path.ends_with("/oauth2/v2.0/token");
    if is_form && !String::from_utf8_lossy(body).contains("client_secret=hunter2") {
        return json_text(
            401,
            "{\"error\":\"invalid_client\",\"error_description\":\"no such secret\"}",
        );
    }
    if path.ends_with("/oauth2/token") || is_form {
        let token = json!({ "access_token": "token-of-the-test", "expires_on": "4102444800", "expires_in": 3600,
            "resource": "https://management.azure.com", "token_type": "Bearer" });
        return json_text(200, &token.to_string());
    }
    let authorization = head
        .headers
        .get("authorization")
        .map(|value| value.as_bytes());
    if authorization != Some(b"Bearer token-of-the-test") {
        return refusal(401, "InvalidAuthenticationToken", "no such token");
    }
    let Some((_, rest)) = path.rsplit_once("/providers/") else {
        return refusal(404, "ResourceNotFound", &path);
    };
    let set = format!("microsoft.compute/virtualmachinescalesets/{SET}");
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    match (&head.method, rest.strip_prefix(&set)) {
        (&Method::GET, Some("")) => ok(&set_body(state)),
        (&Method::PATCH, Some("")) => grow(state, head, &body),
        (&Method::GET, Some("/instanceview")) => ok(&json!({ "statuses": [],
            "virtualMachine": { "statusesSummary": [] },
            "orchestrationServices": [{ "serviceName": "AutomaticRepairs", "serviceState": "Running" }] })),
        (&Method::GET, Some("/virtualmachines")) => list(state, &path, query),
        (&Method::GET, Some("/networkinterfaces")) => interfaces(state),
        (&Method::POST, Some("/delete")) => change(state, &named(&body), "delete"),
        (&Method::POST, Some("/deallocate")) => change(state, &named(&body), "deallocate"),
        (&Method::POST, Some("/start")) => change(state, &named(&body), "start"),
        (&Method::GET, None) if rest == "microsoft.authorization/permissions" => {
            let role = json!({ "actions": state.actions, "notActions": [], "dataActions": [], "notDataActions": [] });
            ok(&json!({ "value": [role] }))
        }
        (&Method::GET, None) if rest == "microsoft.compute/virtualmachines" => {
            list(state, &path, query)
        }
        (&Method::GET, None) if rest == "microsoft.network/networkinterfaces" => interfaces(state),
        (&Method::GET, None) if rest == "microsoft.insights/autoscalesettings" => autoscale(state),
        (&Method::GET, None) if rest.contains("/operations/") => operation(state, rest),
        (&Method::POST, None) => match rest.rsplit('/').collect::<Vec<_>>()[..] {
            [verb, name, "virtualmachines", "microsoft.compute"] => {
                change(state, &[name.to_owned()], verb)
            }
            _ => refusal(404, "ResourceNotFound", rest),
        },
        _ => refusal(404, "ResourceNotFound", rest),
    }
}

fn named(body: &Value) -> Vec<String> {
    let ids = body["instanceIds"].as_array().cloned().unwrap_or_default();
    ids.iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

fn set_body(state: &State) -> Value {
    let mode = match state.mode {
        Mode::Uniform => "Uniform",
        Mode::Flexible => "Flexible",
    };
    json!({ "id": state.set_path(), "name": SET, "type": "Microsoft.Compute/virtualMachineScaleSets",
        "location": "westeurope", "etag": state.etag(),
        "sku": { "name": "Standard_D2s_v3", "tier": "Standard", "capacity": state.capacity },
        "properties": { "orchestrationMode": mode, "provisioningState": "Succeeded", "overprovision": false,
            "singlePlacementGroup": false, "platformFaultDomainCount": 1, "upgradePolicy": { "mode": "Manual" },
            "automaticRepairsPolicy": { "enabled": state.has_repairs },
            "virtualMachineProfile": { "priority": "Regular" } } })
}

fn grow(state: &mut State, head: &Parts, body: &Value) -> Response<Full<Bytes>> {
    let expected = head
        .headers
        .get("if-match")
        .and_then(|value| value.to_str().ok());
    if expected.is_some_and(|expected| expected != state.etag()) {
        return refusal(412, "ConditionNotMet", "the etag is of another moment");
    }
    let capacity = body["sku"]["capacity"].as_u64().unwrap() as u32;
    // What the real one does: it chooses who goes.
    while state.machines.len() as u32 > capacity {
        state.machines.pop_last();
    }
    state.capacity = capacity;
    state.fill();
    let number = state.operate();
    let mut answer = ok(&set_body(state));
    follow(&mut answer, number);
    answer
}

fn change(state: &mut State, names: &[String], verb: &str) -> Response<Full<Bytes>> {
    assert!(!names.is_empty(), "{verb} of no machine is {verb} of all");
    let numbers: Option<Vec<u32>> = names.iter().map(|name| state.numbered(name)).collect();
    let Some(numbers) = numbers else {
        return refusal(404, "ResourceNotFound", "one of the machines");
    };
    for number in numbers {
        let machine = state.machines.get_mut(&number).unwrap();
        match verb {
            "delete" => {
                machine.provisioning = "Deleting";
                state.capacity -= 1;
            }
            "deallocate" => machine.power = Some("deallocating"),
            "start" => machine.power = Some("starting"),
            _ => return refusal(404, "ResourceNotFound", verb),
        }
    }
    state.changes += 1;
    let number = state.operate();
    let mut answer = Response::builder()
        .status(202)
        .body(Full::default())
        .unwrap();
    follow(&mut answer, number);
    answer
}

/// Real ones name both; each form is used in turn.
fn follow(answer: &mut Response<Full<Bytes>>, number: usize) {
    let url = format!(
        "https://management.azure.com/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/operations/{number}"
    );
    let headers = answer.headers_mut();
    let is_accepted = !headers.contains_key("content-type");
    if is_accepted && number % 2 == 1 {
        headers.insert("location", format!("{url}?monitor=true").parse().unwrap());
    } else {
        headers.insert("azure-asyncoperation", url.parse().unwrap());
    }
    headers.insert("retry-after", "0".parse().unwrap());
    let left = "Microsoft.Compute/UpdateVMScaleSet;11,Microsoft.Compute/UpdateVMScaleSetResource;3";
    headers.insert("x-ms-ratelimit-remaining-resource", left.parse().unwrap());
}

/// Answers in the form that was asked for: by status in a body, or by code alone.
fn operation(state: &mut State, rest: &str) -> Response<Full<Bytes>> {
    let number: usize = rest.rsplit('/').next().unwrap().parse().unwrap();
    let Some(operation) = state.operations.get_mut(number) else {
        return refusal(404, "ResourceNotFound", rest);
    };
    let is_running = operation.polls_left > 0;
    operation.polls_left = operation.polls_left.saturating_sub(1);
    let status = match (is_running, operation.failure) {
        (true, _) => "InProgress",
        (_, Some(_)) => "Failed",
        _ => "Succeeded",
    };
    let mut body = json!({ "status": status, "startTime": "2026-11-23T09:00:00Z", "name": number.to_string() });
    if let Some(code) = operation.failure.filter(|_| !is_running) {
        body["error"] = json!({ "code": code, "message": "asked for by the test" });
    }
    let mut answer = ok(&body);
    if is_running {
        *answer.status_mut() = hyper::StatusCode::ACCEPTED;
    }
    answer
}

fn list(state: &mut State, path: &str, query: &str) -> Response<Full<Bytes>> {
    let asked = query
        .split("skiptoken=")
        .nth(1)
        .and_then(|number| number.parse().ok());
    let from: usize = asked.unwrap_or(0);
    if from == 0 {
        state.step();
    }
    if state.lists_nothing {
        return ok(&json!({ "value": [] }));
    }
    let numbers: Vec<u32> = state.machines.keys().copied().collect();
    let page = numbers
        .iter()
        .skip(from)
        .take(PAGE)
        .map(|number| entry(state, *number));
    let mut body = json!({ "value": page.collect::<Vec<_>>() });
    if numbers.len() > from + PAGE {
        let base = state.set_path();
        let whole = match path.contains("virtualmachinescalesets") {
            true => format!("{base}/virtualMachines"),
            false => base.replace(&format!("virtualMachineScaleSets/{SET}"), "virtualMachines"),
        };
        let kept: Vec<_> = query
            .split('&')
            .filter(|one| !one.contains("skiptoken"))
            .collect();
        let next = from + PAGE;
        let link = format!(
            "https://{}{whole}?{}&$skiptoken={next}",
            state.next_host,
            kept.join("&")
        );
        body["nextLink"] = json!(link);
    }
    ok(&body)
}

fn entry(state: &State, number: u32) -> Value {
    let machine = &state.machines[&number];
    let mut statuses = vec![
        json!({ "code": format!("ProvisioningState/{}", machine.provisioning.to_lowercase()), "level": "Info" }),
    ];
    if let Some(power) = machine.power {
        statuses.push(json!({ "code": format!("PowerState/{power}"), "level": "Info", "displayStatus": power }));
    }
    let mut properties = json!({ "vmId": machine.machine_id, "provisioningState": machine.provisioning,
        "timeCreated": "2026-11-23T09:00:00.1234567+00:00", "instanceView": { "statuses": statuses } });
    let mut body = json!({ "id": state.machine_path(number), "location": "westeurope" });
    match state.mode {
        Mode::Uniform => {
            body["name"] = json!(format!("{SET}_{number}"));
            body["type"] = json!("Microsoft.Compute/virtualMachineScaleSets/virtualMachines");
            body["instanceId"] = json!(number.to_string());
            properties["latestModelApplied"] = json!(true);
            properties["protectionPolicy"] = json!({ "protectFromScaleIn": machine.is_protected });
        }
        Mode::Flexible => {
            body["name"] = json!(state.name(number));
            body["type"] = json!("Microsoft.Compute/virtualMachines");
            properties["virtualMachineScaleSet"] = json!({ "id": state.set_path() });
            properties["priority"] = json!("Regular");
        }
    }
    body["properties"] = properties;
    body
}

fn interfaces(state: &State) -> Response<Full<Bytes>> {
    let interface = |number: &u32| {
        let id = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network/networkInterfaces/nic{number}"
        );
        json!({ "name": format!("nic{number}"), "id": id, "properties": { "primary": true,
            "virtualMachine": { "id": state.machine_path(*number) },
            "ipConfigurations": [{ "name": "first", "properties": { "primary": true, "privateIPAddress": format!("10.0.0.{}", number + 4) } }] } })
    };
    let all: Vec<_> = state.machines.keys().map(interface).collect();
    ok(&json!({ "value": all }))
}

fn autoscale(state: &State) -> Response<Full<Bytes>> {
    let setting = json!({ "id": "/x/cpu", "name": "cpu", "location": "westeurope",
        "properties": { "enabled": true, "targetResourceUri": state.set_path(),
            "profiles": [{ "name": "all day", "capacity": { "minimum": "1", "maximum": "3", "default": "1" }, "rules": [] }] } });
    let all: Vec<_> = state.has_autoscale.then_some(setting).into_iter().collect();
    ok(&json!({ "value": all }))
}

fn ok(body: &Value) -> Response<Full<Bytes>> {
    json_text(200, &body.to_string())
}

pub fn json_text(status: u16, text: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .body(Full::from(text.to_owned()))
        .unwrap()
}

pub fn refusal(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    let is_wait = code.bytes().all(|byte| byte.is_ascii_digit());
    let error = json!({ "error": { "code": code, "message": message } });
    let mut answer = json_text(status, &error.to_string());
    if is_wait {
        answer
            .headers_mut()
            .insert("retry-after", code.parse().unwrap());
    }
    answer
}
