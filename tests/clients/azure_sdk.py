"""Microsoft's SDK at a resource manager: azure_sdk.py BASE_URL uniform|flexible SUBSCRIPTION GROUP SET

Grows the set to 3, reads all that Poolgate reads, deletes 2 chosen machines, and prints "lived".
"""
import sys
import time

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute import models

base, mode, subscription, group, name = sys.argv[1:]


class Credential:
    def get_token(self, *scopes, **_):
        return AccessToken("token-of-the-test", int(time.time()) + 3600)


class Rerouted(SansIOHTTPPolicy):
    """Sends what is meant for Azure to BASE_URL: the SDK's own policy gives tokens over https alone."""

    def on_request(self, request):
        request.http_request.url = request.http_request.url.replace("https://management.azure.com", base)
        request.http_request.headers["Authorization"] = "Bearer token-of-the-test"


client = ComputeManagementClient(
    Credential(), subscription, base_url=base, polling_interval=0, authentication_policy=Rerouted()
)
sets = client.virtual_machine_scale_sets


def listed():
    if mode == "uniform":
        return list(client.virtual_machine_scale_set_vms.list(group, name, expand="instanceView"))
    which = f"'virtualMachineScaleSet/id' eq '{sets.get(group, name).id}'"
    return list(client.virtual_machines.list(group, filter=which, expand="instanceView"))


scale_set = sets.get(group, name)
assert scale_set.orchestration_mode.lower() == mode, scale_set.orchestration_mode
assert scale_set.sku.capacity == 0 and scale_set.upgrade_policy.mode == "Manual"
sku = models.Sku(name=scale_set.sku.name, tier=scale_set.sku.tier, capacity=3)
grown = sets.begin_update(group, name, models.VirtualMachineScaleSetUpdate(sku=sku)).result()
assert grown.sku.capacity == 3
for _ in range(4):
    machines = listed()
assert len(machines) == 3, machines
for machine in machines:
    assert machine.vm_id and machine.provisioning_state == "Succeeded" and machine.time_created
    codes = [status.code for status in machine.instance_view.statuses]
    assert "PowerState/running" in codes, codes
assert sets.get_instance_view(group, name).orchestration_services[0].service_name == "AutomaticRepairs"
handles = [machine.instance_id if mode == "uniform" else machine.name for machine in machines[:2]]
wanted = models.VirtualMachineScaleSetVMInstanceRequiredIDs(instance_ids=handles)
sets.begin_delete_instances(group, name, wanted).result()
left = listed()
assert [machine.vm_id for machine in left] == [machines[2].vm_id], left
assert sets.get(group, name).sku.capacity == 1
print("lived")
