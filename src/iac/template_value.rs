//! What the functions of a CloudFormation template come to in one stack: parameters, conditions, mappings, references.
//!
//! Where the stack does not tell, the answer is why, and never a guess
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>).

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Deeper than functions are nested; a condition that leads to itself ends here.
const DEEPEST: usize = 30;

/// What a value comes to: `None` is `AWS::NoValue`, which is no value at all. The error says why it is not known.
pub(super) type Known = Result<Option<String>, String>;

/// One stack, as far as its functions look at it.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub template: Option<&'a Value>,
    /// `Ref` of a parameter or of `AWS::Region`. Of an SSM parameter's type: as it was resolved.
    pub parameters: BTreeMap<String, String>,
    /// Logical id → type, physical id.
    pub resources: BTreeMap<String, (String, String)>,
    /// `Logical.Outputs.Name` of nested stacks.
    pub outputs: BTreeMap<String, String>,
    /// What `Fn::ImportValue` names.
    pub exports: BTreeMap<String, String>,
}

/// A value that is a list where a function wants one.
enum Came {
    Text(Option<String>),
    List(Vec<Option<String>>),
}

impl Scope<'_> {
    /// The text that a property comes to. What is missing, null or `AWS::NoValue` is none.
    pub fn text(&self, value: Option<&Value>) -> Known {
        self.one(value.unwrap_or(&Value::Null), 0)
    }

    /// The properties of a resource; of an `Fn::If` the branch that holds.
    pub fn branch<'v>(&self, value: &'v Value) -> Result<&'v Value, String> {
        self.chosen(value, 0)
    }

    fn section(&self, name: &str, key: &str) -> Option<&Value> {
        self.template?.get(name)?.get(key)
    }

    fn one(&self, value: &Value, depth: usize) -> Known {
        match self.came(value, depth)? {
            Came::Text(text) => Ok(text),
            Came::List(_) => Err("it is a list".to_owned()),
        }
    }

    /// A text that must be there.
    fn sure(&self, value: Option<&Value>, depth: usize) -> Result<String, String> {
        self.one(value.unwrap_or(&Value::Null), depth)?.ok_or_else(|| "a part of it has no value".to_owned())
    }

    fn came(&self, value: &Value, depth: usize) -> Result<Came, String> {
        if depth > DEEPEST {
            return Err("its functions never end".to_owned());
        }
        Ok(match self.chosen(value, depth)? {
            Value::Null => Came::Text(None),
            Value::Bool(flag) => Came::Text(Some(flag.to_string())),
            Value::Number(number) => Came::Text(Some(number.to_string())),
            Value::String(text) => Came::Text(Some(literal(text)?)),
            Value::Array(items) => {
                Came::List(items.iter().map(|item| self.one(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => self.function(members, depth + 1)?,
        })
    }

    /// The branch of an `Fn::If`, however deep; of `AWS::NoValue`, null; anything else is itself.
    fn chosen<'v>(&self, value: &'v Value, depth: usize) -> Result<&'v Value, String> {
        if value.get("Ref").and_then(Value::as_str) == Some("AWS::NoValue") {
            return Ok(&Value::Null);
        }
        let Some([condition, then, otherwise]) = value.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice)
        else {
            return Ok(value);
        };
        let name = condition.as_str().ok_or("it hangs on a condition that is not named")?;
        if depth > DEEPEST {
            return Err("its functions never end".to_owned());
        }
        self.chosen(if self.holds(name, depth + 1)? { then } else { otherwise }, depth + 1)
    }

    fn function(&self, members: &Map<String, Value>, depth: usize) -> Result<Came, String> {
        let (Some((name, given)), 1) = (members.iter().next(), members.len()) else {
            return Err("it is no text".to_owned());
        };
        let part = |at: usize| given.get(at);
        let text = match name.as_str() {
            "Ref" => self.reference(given.as_str().unwrap_or_default())?,
            "Fn::GetAtt" => match given {
                Value::String(both) => self.attribute(both, depth)?,
                _ => {
                    let attribute = self.sure(part(1), depth)?;
                    self.attribute(&format!("{}.{attribute}", self.sure(part(0), depth)?), depth)?
                }
            },
            "Fn::Sub" => Some(self.substituted(given, depth)?),
            "Fn::Join" => {
                let separator = self.sure(part(0), depth)?;
                Some(self.list(part(1), depth)?.into_iter().flatten().collect::<Vec<_>>().join(&separator))
            }
            "Fn::Select" => {
                let at: usize = self.sure(part(0), depth)?.parse().map_err(|_| "its Fn::Select has no number")?;
                self.list(part(1), depth)?.into_iter().nth(at).ok_or("its Fn::Select selects nothing")?
            }
            "Fn::Split" => {
                let (separator, text) = (self.sure(part(0), depth)?, self.sure(part(1), depth)?);
                return Ok(Came::List(text.split(&*separator).map(|part| Some(part.to_owned())).collect()));
            }
            "Fn::FindInMap" => self.mapped(given, depth)?,
            "Fn::ImportValue" => {
                let name = self.sure(Some(given), depth)?;
                Some(self.exports.get(&name).cloned().ok_or("it is imported, and no stack exports it")?)
            }
            _ => return Err("it uses a function that only CloudFormation evaluates".to_owned()),
        };
        Ok(Came::Text(text))
    }

    fn list(&self, value: Option<&Value>, depth: usize) -> Result<Vec<Option<String>>, String> {
        match self.came(value.unwrap_or(&Value::Null), depth)? {
            Came::List(items) => Ok(items),
            // A parameter of a list's type is written with commas.
            Came::Text(Some(text)) => Ok(text.split(',').map(|item| Some(item.trim().to_owned())).collect()),
            Came::Text(None) => Ok(Vec::new()),
        }
    }

    fn reference(&self, name: &str) -> Known {
        if let Some(value) = self.parameters.get(name) {
            // What CloudFormation shows in place of a parameter with `NoEcho`.
            let is_masked = !value.is_empty() && value.chars().all(|c| c == '*');
            return if is_masked { Err("its parameter is marked NoEcho".to_owned()) } else { Ok(Some(value.clone())) };
        }
        let physical = self.resources.get(name).map(|(_, physical)| physical.clone());
        physical.map(Some).ok_or_else(|| "it refers to something that the stack does not have".to_owned())
    }

    /// `Logical.Attribute`. Of most attributes only their resource knows; the few below are known from the stack itself.
    fn attribute(&self, both: &str, depth: usize) -> Known {
        if let Some(value) = self.outputs.get(both) {
            return Ok(Some(value.clone()));
        }
        let (logical, attribute) = both.split_once('.').unwrap_or((both, ""));
        let found = self.resources.get(logical).map(|(kind, physical)| (kind.as_str(), physical));
        match (found, attribute) {
            // The number that CloudFormation fills in is that of the version which it made of this very template.
            (Some(("AWS::EC2::LaunchTemplate", _)), "LatestVersionNumber") => Ok(Some("$Latest".to_owned())),
            (Some(("AWS::EC2::LaunchTemplate", id)), "LaunchTemplateId")
            | (Some(("AWS::ECS::TaskDefinition", id)), "TaskDefinitionArn") => Ok(Some(id.clone())),
            (Some(("AWS::SSM::Parameter", _)), "Value") => {
                let value = self.section("Resources", logical).and_then(|it| it.get("Properties")?.get("Value"));
                self.one(value.unwrap_or(&Value::Null), depth)
            }
            _ => Err("it is an attribute that the stack does not tell".to_owned()),
        }
    }

    /// `${Name}`, `${Logical.Attribute}`, `${!Literal}`, with names of its own where it has them.
    fn substituted(&self, given: &Value, depth: usize) -> Result<String, String> {
        let (pattern, own) = match given {
            Value::Array(parts) => (parts.first().and_then(Value::as_str), parts.get(1)),
            pattern => (pattern.as_str(), None),
        };
        let mut rest = pattern.ok_or("its Fn::Sub has no text")?;
        let mut text = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("its Fn::Sub is not closed")?;
            text.push_str(before);
            let value = match (name.strip_prefix('!'), own.and_then(|own| own.get(name))) {
                (Some(literal), _) => Some(format!("${{{literal}}}")),
                (None, Some(own)) => self.one(own, depth)?,
                (None, None) if name.contains('.') => self.attribute(name, depth)?,
                (None, None) => self.reference(name)?,
            };
            text.push_str(&value.unwrap_or_default());
            rest = after;
        }
        text.push_str(rest);
        literal(&text)
    }

    /// Map, first key, second key; and a default, where the template uses the language extensions.
    fn mapped(&self, given: &Value, depth: usize) -> Known {
        let key = |at: usize| self.sure(given.get(at), depth);
        let (map, first, second) = (key(0)?, key(1)?, key(2)?);
        let found = self.section("Mappings", &map).and_then(|map| map.get(first)?.get(second));
        match found.or_else(|| given.get(3)?.get("DefaultValue")) {
            Some(value) => self.one(value, depth),
            None => Err("its Fn::FindInMap finds nothing".to_owned()),
        }
    }

    fn holds(&self, condition: &str, depth: usize) -> Result<bool, String> {
        let unknown = || "it hangs on a condition that the template does not have".to_owned();
        self.is_true(self.section("Conditions", condition).ok_or_else(unknown)?, depth)
    }

    fn is_true(&self, condition: &Value, depth: usize) -> Result<bool, String> {
        if depth > DEEPEST {
            return Err("its conditions never end".to_owned());
        }
        let (name, given) =
            condition.as_object().and_then(|members| members.iter().next()).ok_or("it is no condition")?;
        let mut each = given.as_array().into_iter().flatten().map(|part| self.is_true(part, depth + 1));
        match name.as_str() {
            "Condition" => self.holds(given.as_str().unwrap_or_default(), depth + 1),
            "Fn::Equals" => Ok(self.one(given.get(0).unwrap_or(&Value::Null), depth + 1)?
                == self.one(given.get(1).unwrap_or(&Value::Null), depth + 1)?),
            "Fn::Not" => each.next().ok_or("its Fn::Not is empty")?.map(|holds| !holds),
            "Fn::And" => each.try_fold(true, |all, next| Ok(all & next?)),
            "Fn::Or" => each.try_fold(false, |any, next| Ok(any | next?)),
            _ => Err("it hangs on a condition that only CloudFormation evaluates".to_owned()),
        }
    }
}

/// A text as it stands, unless it is filled in at an update: what it was then, the stack does not tell.
fn literal(text: &str) -> Result<String, String> {
    if text.contains("{{resolve:") {
        return Err("it is a dynamic reference, which CloudFormation resolves at an update".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: Value, expected: Result<Option<&str>, &str>) {
        let template = json!({
            "Mappings": {"Amis": {"eu-west-1": {"arm64": "ami-arm", "x86_64": "ami-x86"}}},
            "Conditions": {
                "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
                "IsTest": {"Fn::Not": [{"Condition": "IsProd"}]},
                "Both": {"Fn::And": [{"Condition": "IsProd"}, {"Condition": "IsTest"}]},
                "Either": {"Fn::Or": [{"Condition": "IsProd"}, {"Condition": "IsTest"}]},
                "Loop": {"Condition": "Loop"},
            },
            "Resources": {"Ami": {"Type": "AWS::SSM::Parameter", "Properties": {"Value": {"Ref": "Image"}}}},
        });
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let resource = |kind: &str, id: &str| (kind.to_owned(), id.to_owned());
        let scope = Scope {
            template: Some(&template),
            parameters: map(&[
                ("AWS::Region", "eu-west-1"),
                ("Image", "ami-1"),
                ("Stage", "prod"),
                ("Kind", "ami"),
                ("Secret", "****"),
                ("Subnets", "a, b"),
            ]),
            resources: [
                ("Lt".to_owned(), resource("AWS::EC2::LaunchTemplate", "lt-1")),
                ("Ami".to_owned(), resource("AWS::SSM::Parameter", "/ami")),
                ("Fn".to_owned(), resource("Custom::Ami", "x")),
            ]
            .into(),
            outputs: map(&[("Base.Outputs.Ami", "ami-nested")]),
            exports: map(&[("base-ami", "ami-exported")]),
        };
        let known = scope.text(Some(&value));
        assert_eq!(known.as_ref().map(Option::as_deref).map_err(String::as_str), expected, "{value}");
    }

    #[test]
    fn functions_come_to_what_cloudformation_made_of_them() {
        for (value, expected) in [
            (json!("ami-0"), Some("ami-0")),
            (json!(7), Some("7")),
            (json!(null), None),
            (json!({"Ref": "Image"}), Some("ami-1")),
            (json!({"Ref": "AWS::NoValue"}), None),
            (json!({"Ref": "Lt"}), Some("lt-1")),
            (json!({"Fn::GetAtt": ["Lt", "LatestVersionNumber"]}), Some("$Latest")),
            (json!({"Fn::GetAtt": "Lt.LaunchTemplateId"}), Some("lt-1")),
            (json!({"Fn::GetAtt": ["Ami", "Value"]}), Some("ami-1")),
            (json!({"Fn::GetAtt": ["Base", "Outputs.Ami"]}), Some("ami-nested")),
            (json!({"Fn::ImportValue": {"Fn::Sub": "base-${Kind}"}}), Some("ami-exported")),
            (json!({"Fn::Sub": "${AWS::Region}/${!Image}/${Image}"}), Some("eu-west-1/${Image}/ami-1")),
            (json!({"Fn::Sub": ["${A}-${Lt.LaunchTemplateId}", {"A": {"Ref": "Stage"}}]}), Some("prod-lt-1")),
            (json!({"Fn::Join": [":", ["a", {"Ref": "AWS::NoValue"}, {"Ref": "Stage"}]]}), Some("a:prod")),
            (json!({"Fn::Select": ["1", {"Fn::Split": ["-", {"Ref": "Image"}]}]}), Some("1")),
            (json!({"Fn::Select": [1, {"Ref": "Subnets"}]}), Some("b")),
            (json!({"Fn::FindInMap": ["Amis", {"Ref": "AWS::Region"}, "arm64"]}), Some("ami-arm")),
            (json!({"Fn::FindInMap": ["Amis", "x", "y", {"DefaultValue": "ami-2"}]}), Some("ami-2")),
            (json!({"Fn::If": ["IsProd", "ami-p", "ami-t"]}), Some("ami-p")),
            (json!({"Fn::If": ["IsTest", "ami-p", {"Fn::If": ["Either", "ami-e", "x"]}]}), Some("ami-e")),
            (json!({"Fn::If": ["Both", "ami-p", {"Ref": "AWS::NoValue"}]}), None),
        ] {
            check(value, Ok(expected));
        }
    }

    #[test]
    fn what_the_stack_does_not_tell_is_said_and_not_guessed() {
        for (value, expected) in [
            (json!({"Ref": "Secret"}), "its parameter is marked NoEcho"),
            (json!({"Fn::GetAtt": ["Lt", "DefaultVersionNumber"]}), "it is an attribute that the stack does not tell"),
            (
                json!({"Fn::FindInMap": ["Amis", {"Ref": "Secret"}, "y", {"DefaultValue": "ami-2"}]}),
                "its parameter is marked NoEcho",
            ),
            (json!({"Ref": "Nobody"}), "it refers to something that the stack does not have"),
            (json!({"Fn::GetAtt": ["Fn", "Id"]}), "it is an attribute that the stack does not tell"),
            (json!("{{resolve:ssm:/ami:3}}"), "it is a dynamic reference, which CloudFormation resolves at an update"),
            (json!({"Fn::ImportValue": "other"}), "it is imported, and no stack exports it"),
            (json!({"Fn::FindInMap": ["Amis", "x", "y"]}), "its Fn::FindInMap finds nothing"),
            (json!({"Fn::If": ["Loop", 1, 2]}), "its conditions never end"),
            (json!({"Fn::Cidr": []}), "it uses a function that only CloudFormation evaluates"),
            (json!({"a": 1, "b": 2}), "it is no text"),
            (json!(["a"]), "it is a list"),
        ] {
            check(value, Err(expected));
        }
    }
}
