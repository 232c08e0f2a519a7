//! Which hosts may be given a token. Azure's answers name the next address to ask, and an answer is not trusted that far.

use http::Uri;

use crate::config::AzureCloud;
use crate::fleet::FleetFault;

pub(super) use crate::config::AzureCloud as Cloud;

impl AzureCloud {
    /// The host of the resource manager.
    pub(super) fn host(self) -> &'static str {
        match self {
            Self::Public => "management.azure.com",
            Self::UsGovernment => "management.usgovcloudapi.net",
            Self::China => "management.chinacloudapi.cn",
        }
    }

    /// What a token is asked for.
    pub(super) fn scope(self) -> String {
        format!("https://{}/.default", self.host())
    }

    /// `url` as an address that may be asked with a token: the resource manager itself, or one of its regions.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn trusted(self, url: &str) -> Result<Uri, FleetFault> {
        let uri = url.parse::<Uri>().ok().filter(|uri| self.is_trusted(uri));
        uri.ok_or_else(|| {
            let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
            FleetFault::Fatal(format!(
                "Azure's answer sends us to {:?}, which is not below {}: it gets no token; see whether something stands between the gate and Azure",
                host.unwrap_or_default(),
                self.host()
            ))
        })
    }

    fn is_trusted(self, uri: &Uri) -> bool {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let region = host
            .strip_suffix(self.host())
            .and_then(|rest| rest.strip_suffix('.'));
        let is_ours = host == self.host()
            || region.is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
        // An authority longer than its host holds a user or a port.
        uri.scheme_str() == Some("https") && authority.len() == host.len() && is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_azure_alone() {
        let good = [
            "https://management.azure.com/subscriptions?x=1",
            "https://westus2.management.azure.com/subscriptions",
            "https://Management.Azure.com/",
        ];
        for url in good {
            assert!(Cloud::Public.trusted(url).is_ok(), "{url}");
        }
        let bad = [
            "http://management.azure.com/",
            "https://management.azure.com:8443/",
            "https://management.azure.com@evil.example/",
            "https://me@management.azure.com/",
            "https://management.azure.com.evil.example/",
            "https://evilmanagement.azure.com/",
            "https://a.b.management.azure.com/",
            "https://.management.azure.com/",
            "https://management.usgovcloudapi.net/",
            "https://127.0.0.1/",
            "/subscriptions",
            "",
        ];
        for url in bad {
            assert_eq!(
                Cloud::Public.trusted(url).unwrap_err().kind(),
                "fatal",
                "{url}"
            );
        }
        assert!(Cloud::UsGovernment.trusted(bad[8]).is_ok());
    }
}
