{{- define "mcdns.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "mcdns.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "mcdns.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "mcdns.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Names of objects that belong to no namespace: two releases must not meet. */ -}}
{{- define "mcdns.clusterName" -}}
{{- if eq .Release.Namespace "kube-federation-system" }}
{{- include "mcdns.fullname" . }}
{{- else }}
{{- printf "%s-%s" .Release.Namespace (include "mcdns.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mcdns.selector" -}}
app.kubernetes.io/name: {{ include "mcdns.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mcdns.labels" -}}
{{ include "mcdns.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mcdns
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mcdns.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* True where this cluster is the host, whose API the pods ask with their own ServiceAccount. */ -}}
{{- define "mcdns.inHost" -}}
{{- if not (and .Values.hostOnly.enabled .Values.hostOnly.kubeconfigSecret) }}true{{- end }}
{{- end }}

{{- /* An address with its port; IPv6 in brackets. */ -}}
{{- define "mcdns.listener" -}}
{{- if contains ":" .address }}{{ printf "[%s]:%v" .address .port }}{{ else }}{{ printf "%s:%v" .address .port }}{{ end }}
{{- end }}

{{- /* The settings file: what the chart knows, and over it what `settings` says. */ -}}
{{- define "mcdns.settings" -}}
{{- $values := .Values }}
{{- $listen := list }}
{{- range $address := .Values.listenAddresses }}
{{- $listen = append $listen (dict "address" (include "mcdns.listener" (dict "address" $address "port" $values.ports.dns)) "transports" (list "udp" "tcp")) }}
{{- with $values.encrypted }}
{{- if .secretName }}
{{- $tls := dict "certificate" "/etc/mcdns/tls/tls.crt" "key" "/etc/mcdns/tls/tls.key" }}
{{- $transports := list }}
{{- if .dot }}{{ $transports = append $transports "dot" }}{{ end }}
{{- if .doq }}{{ $transports = append $transports "doq" }}{{ end }}
{{- if $transports }}
{{- $listen = append $listen (merge (dict "address" (include "mcdns.listener" (dict "address" $address "port" $values.ports.tls)) "transports" $transports) $tls) }}
{{- end }}
{{- if .doh }}
{{- $listen = append $listen (merge (dict "address" (include "mcdns.listener" (dict "address" $address "port" $values.ports.https)) "transports" (list "doh")) $tls) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $serve := dict "listen" $listen }}
{{- with .Values.advertise }}{{ $_ := set $serve "advertise" . }}{{ end }}
{{- $kubernetes := dict "systemNamespace" .Values.systemNamespace }}
{{- if not (include "mcdns.inHost" .) }}{{ $_ := set $kubernetes "kubeconfig" "/etc/mcdns/host/kubeconfig" }}{{ end }}
{{- $admin := include "mcdns.listener" (dict "address" (first .Values.listenAddresses) "port" .Values.ports.admin) }}
{{- $settings := dict "version" 1 "stateDir" "/var/lib/mcdns" "sources" (dict "kubernetes" $kubernetes) "serve" $serve "admin" (dict "listen" $admin) "log" .Values.log }}
{{- if not .Values.hostOnly.enabled }}{{ $_ := set $settings "dnsEndpoints" (dict "groups" .Values.dnsEndpoints.groups) }}{{ end }}
{{- toYaml (mergeOverwrite $settings (deepCopy .Values.settings)) }}
{{- end }}
