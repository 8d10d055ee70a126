"""CloudFormation stacks read back as they are described."""

import unittest

from labtest import LabTest, client

TEMPLATE = """
Parameters: {Ami: {Type: String}, Password: {Type: String, NoEcho: true}}
Resources:
  Template:
    Type: AWS::EC2::LaunchTemplate
    Properties: {LaunchTemplateData: {ImageId: !Ref Ami}}
"""


class StacksTest(LabTest):
    def test_a_stack_is_read_back_without_its_secrets(self) -> None:
        """CloudFormation User Guide "Parameters", NoEcho."""
        stacks = client("cloudformation")
        given = {"Ami": "ami-1", "Password": "Password"}
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
        stacks.create_stack(StackName="web", TemplateBody=TEMPLATE, Parameters=parameters)
        stack = stacks.describe_stacks(StackName="web")["Stacks"][0]
        shown = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        self.assertEqual(shown, {"Ami": "ami-1", "Password": "*****"})
        resources = stacks.list_stack_resources(StackName="web")["StackResourceSummaries"]
        self.assertEqual([each["LogicalResourceId"] for each in resources], ["Template"])
        self.assertIn("!Ref Ami", stacks.get_template(StackName="web", TemplateStage="Processed")["TemplateBody"])
        self.refused("ValidationError", stacks.describe_stacks, StackName="none")


if __name__ == "__main__":
    unittest.main()
